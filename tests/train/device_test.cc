// Which parts a run does without on its device, and what it must not ask for.
#include "fathom/train/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const torch::Device kGpu(torch::kCUDA, 0);

LoadedCudaLibrary missing() { return {nullptr, "libfathom_cuda.so can't be loaded (not found)"}; }

/// check_device on a GPU, with a library.
std::vector<std::string> lines(const RunConfig& config, const LoadedCudaLibrary& loaded) {
  return check_device(config, kGpu, [&]() -> const LoadedCudaLibrary& { return loaded; });
}

std::string error(const RunConfig& config, const LoadedCudaLibrary& loaded) {
  try {
    lines(config, loaded);
  } catch (const ConfigError& found) {
    return found.what();
  }
  return "";
}

TEST(Device, ARunOnACpuLoadsNoCudaLibrary) {
  const auto never = []() -> const LoadedCudaLibrary& { throw std::logic_error("loaded"); };
  EXPECT_THAT(check_device(RunConfig(), torch::kCPU, never), IsEmpty());
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

}  // namespace
}  // namespace fathom
