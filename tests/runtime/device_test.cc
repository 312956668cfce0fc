// Which parts a run does without on its device, and what it must not ask for.
#include "fathom/runtime/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const torch::Device kGpu(torch::kCUDA, 0);

LoadedCudaLibrary missing() { return {nullptr, "libfathom_cuda.so can't be loaded (not found)"}; }

/// check_device on a GPU, with a library.
std::vector<std::string> lines(const RunConfig& config, const LoadedCudaLibrary& loaded,
                               int64_t ranks = 1) {
  return check_device(config, kGpu, ranks, [&]() -> const LoadedCudaLibrary& { return loaded; });
}

std::string error(const RunConfig& config, const LoadedCudaLibrary& loaded, int64_t ranks = 1) {
  try {
    lines(config, loaded, ranks);
  } catch (const ConfigError& found) {
    return found.what();
  }
  return "";
}

TEST(Device, ARunOnACpuLoadsNoCudaLibrary) {
  const auto never = []() -> const LoadedCudaLibrary& { throw std::logic_error("loaded"); };
  EXPECT_THAT(check_device(RunConfig(), torch::kCPU, 2, never), IsEmpty());
}

TEST(Device, ARunOnAGpuSaysWhatItDoesWithout) {
  const RunConfig config;
  EXPECT_THAT(lines(config, missing()), ElementsAre(HasSubstr("LibTorch's operations alone")));
  const CudaLibrary library{};
  EXPECT_THAT(lines(config, {&library}), IsEmpty());
}

TEST(Device, FusedKernelsThatAreAskedForAndMissingAreAnErrorWithTheFix) {
  RunConfig config;
  config.train.kernels = "fused";
  const CudaLibrary library{};
  for (const LoadedCudaLibrary& loaded : {missing(), LoadedCudaLibrary{&library}})
    EXPECT_THAT(error(config, loaded), HasSubstr("scripts/setup.sh --nvcc"));
}

/// Configs that ask for one part each, and the key and value that do.
std::vector<std::pair<std::string, RunConfig>> parts() {
  std::vector<std::pair<std::string, RunConfig>> all(3);
  all[0].first = "train.cuda_graph is true";
  all[0].second.train.cuda_graph = true;
  all[1].first = "train.attention is measured";
  all[1].second.train.attention = "measured";
  all[2].first = "parallel.backend is nccl";
  all[2].second.parallel.backend = "nccl";
  return all;
}

TEST(Device, APartForGpusIsAnErrorOnACpu) {
  for (const auto& [name, config] : parts()) {
    try {
      check_device(config, torch::kCPU);
      FAIL() << name;
    } catch (const ConfigError& found) {
      EXPECT_THAT(found.what(), AllOf(HasSubstr(name), HasSubstr("no effect on a CPU")));
    }
  }
}

TEST(Device, APartThatIsUsedSaysThatItHasNeverRunOnAGpu) {
  const CudaLibrary library{};
  for (const auto& [name, config] : parts()) {
    const int64_t ranks = config.parallel.backend == "nccl" ? 2 : 1;
    EXPECT_THAT(lines(config, {&library}, ranks),
                ElementsAre(AllOf(HasSubstr(name), HasSubstr("never run on a GPU"))));
    EXPECT_THAT(error(config, missing(), ranks), AllOf(HasSubstr(name), HasSubstr("not found")));
  }
}

TEST(Device, SeveralProcessesOnGpusNeedNcclByName) {
  const CudaLibrary library{};
  RunConfig config;
  EXPECT_THAT(error(config, {&library}, 2), HasSubstr("use parallel.backend=nccl"));
  config.parallel.backend = "nccl";
  EXPECT_EQ(error(config, {&library}, 2), "");
  EXPECT_THAT(error(config, {&library}, 1), HasSubstr("no effect on one process"));
  config.train.cuda_graph = true;
  EXPECT_THAT(error(config, {&library}, 2), HasSubstr("train.cuda_graph=false"));
}

TEST(Device, EachProcessOfAHostHasAGpuOfItsOwn) {
  EXPECT_EQ(gpu_of_rank(3, 4), 3);
  try {
    gpu_of_rank(4, 4);
    FAIL();
  } catch (const ConfigError& found) {
    EXPECT_THAT(found.what(), AllOf(HasSubstr("LOCAL_RANK is 4"), HasSubstr("4 GPU(s)")));
  }
}

}  // namespace
}  // namespace fathom
