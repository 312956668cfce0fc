// The functions of CUDA's RowKernels; ../row_kernels.h says what each does.
#pragma once

#include "../row_kernels.h"

namespace fathom::cuda {

void rms_norm_forward(const RmsNormForward& p, StreamHandle stream);
int64_t rms_norm_parts(int64_t rows, int64_t dim);
void rms_norm_backward(const RmsNormBackward& p, StreamHandle stream);
void swiglu_forward(const SwigluForward& p, StreamHandle stream);
void swiglu_backward(const SwigluBackward& p, StreamHandle stream);
void rotate(const Rotation& p, StreamHandle stream);
void softmax_cross_entropy(const SoftmaxCrossEntropy& p, StreamHandle stream);
void adam(const AdamStep& step, const AdamTensor* tensors, int64_t count, StreamHandle stream);

}  // namespace fathom::cuda

/// CUDA's loops, for the table of libfathom_cuda.so.
extern "C" const fathom::RowKernels* fathom_cuda_row_kernels();
