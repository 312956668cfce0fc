// The one function that libfathom_cuda.so exports.
#include <torch/version.h>

#include "fathom/kernels/cuda_library.h"
#include "fathom/version.h"

#ifdef FATHOM_CUDA_KERNELS
extern "C" const fathom::RowKernels* fathom_cuda_row_kernels();  // src/kernels/cuda, by nvcc
#endif

namespace fathom {
namespace {

const RowKernels* row_kernels() {
#ifdef FATHOM_CUDA_KERNELS
  return fathom_cuda_row_kernels();
#else
  return nullptr;
#endif
}

}  // namespace
}  // namespace fathom

extern "C" __attribute__((visibility("default"))) const fathom::CudaLibrary* fathom_cuda() {
  static const fathom::CudaLibrary library{
      .version = FATHOM_VERSION " with LibTorch " TORCH_VERSION,
      .row_kernels = fathom::row_kernels(),
  };
  return &library;
}
