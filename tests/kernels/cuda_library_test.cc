// libfathom_cuda.so as a machine without a GPU sees it: it loads, and says that there is none.
#include "fathom/kernels/cuda_library.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

namespace fathom {
namespace {

TEST(CudaLibrary, LoadsWhereItIsBuiltAndElseSaysWhatIsMissing) {
  const LoadedCudaLibrary& loaded = cuda_library();
#ifdef FATHOM_CUDA
  ASSERT_NE(loaded.library, nullptr) << loaded.problem;
  EXPECT_EQ(loaded.problem, "");
#else
  EXPECT_EQ(loaded.library, nullptr);
  EXPECT_NE(loaded.problem.find("libfathom_cuda.so"), std::string::npos) << loaded.problem;
#endif
}

TEST(CudaLibrary, IsLoadedOnce) { EXPECT_EQ(&cuda_library(), &cuda_library()); }

#ifdef FATHOM_CUDA
TEST(CudaLibrary, ItsPartsAreLibTorchsAndSayThatThereIsNoGpu) {
  const CudaLibrary& library = *cuda_library().library;
  if (at::hasCUDA()) GTEST_SKIP() << "there is one";
  const auto error = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const c10::Error& found) {
      return found.what();
    }
    return "";
  };
  const NcclOptions options{c10::make_intrusive<c10d::HashStore>(), 0, 1, std::chrono::seconds(1)};
  EXPECT_THAT(error([&] { library.connect_nccl(options); }), testing::HasSubstr("no GPUs found"));
  EXPECT_NE(error([&] { library.make_graph(0); }), "");
  EXPECT_NE(error([&] { library.seconds([] {}); }), "");
}
#endif

}  // namespace
}  // namespace fathom
