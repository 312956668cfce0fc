// libfathom_cuda.so as a machine without a GPU sees it: it loads, and says that there is none.
#include "fathom/kernels/cuda_library.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace fathom
