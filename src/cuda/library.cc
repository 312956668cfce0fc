// The one function that libfathom_cuda.so exports.
#include <torch/version.h>

#include "cuda/parts.h"
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
      .make_graph = fathom::make_step_graph,
      .connect_nccl = fathom::connect_nccl,
      .seconds = fathom::device_seconds,
  };
  return &library;
}
