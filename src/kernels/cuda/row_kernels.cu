#include "kernels.cuh"

const fathom::RowKernels* fathom_cuda_row_kernels() {
  static constexpr fathom::RowKernels kKernels = {
      .rms_norm_forward = fathom::cuda::rms_norm_forward,
      .rms_norm_parts = fathom::cuda::rms_norm_parts,
      .rms_norm_backward = fathom::cuda::rms_norm_backward,
      .swiglu_forward = fathom::cuda::swiglu_forward,
      .swiglu_backward = fathom::cuda::swiglu_backward,
      .rotate = fathom::cuda::rotate,
      .softmax_cross_entropy = fathom::cuda::softmax_cross_entropy,
      .adam = fathom::cuda::adam,
  };
  return &kKernels;
}
