#include <gtest/gtest.h>

#include "arrays.h"

namespace fathom {
namespace {

TEST(CudaRowKernels, NoRowsAreNoWork) {
  const RowKernels& kernels = *fathom_cuda_row_kernels();
  const RmsNormShape shape{0, 768, NumberType::float32, NumberType::float32, 1e-5F, 1.0F};
  RmsNormForward norm = {};
  norm.shape = shape;
  kernels.rms_norm_forward(norm, nullptr);
  RmsNormBackward norm_backward = {};
  norm_backward.shape = shape;
  norm_backward.parts = kernels.rms_norm_parts(0, 768);
  kernels.rms_norm_backward(norm_backward, nullptr);
  SwigluForward gated = {};
  gated.width = 64;
  kernels.swiglu_forward(gated, nullptr);
  SwigluBackward gated_backward = {};
  gated_backward.width = 64;
  kernels.swiglu_backward(gated_backward, nullptr);
  Rotation rotation = {};
  rotation.length = 7;
  kernels.rotate(rotation, nullptr);
  SoftmaxCrossEntropy loss = {};
  loss.vocabulary = loss.stride = 100;
  kernels.softmax_cross_entropy(loss, nullptr);
  kernels.adam({}, nullptr, 0, nullptr);
  const AdamTensor empty = {};
  kernels.adam({}, &empty, 1, nullptr);
}

}  // namespace
}  // namespace fathom
