// RMSNorm with its constant factor folded in: LayerNorm Scaling costs nothing.
// Shape suffixes: D = the normalized (last) dimension.
#pragma once

#include <torch/types.h>

namespace fathom {

/// RMS-normalizes the last dimension: x / sqrt(mean(x^2) + eps) * weight * scale.
/// Statistics and arithmetic are in float32 (float64 for float64 input). Differentiable in x and
/// weight.
/// @param x activations [..., D]; the result has its dtype and shape
/// @param weight_D gain [D], of any float dtype
/// @param eps added to the mean square (unit: activation squared)
/// @param scale a plain number, e.g. 1/sqrt(layer) for LayerNorm Scaling
/// @throws ShapeError if weight isn't [D]
/// @see arXiv:1910.07467, eq. 4
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight_D, double eps,
                       double scale = 1.0);

/// The same from plain ATen operations: any dtype and device, and the reference that tests compare
/// with.
torch::Tensor rms_norm_reference(const torch::Tensor& x, const torch::Tensor& weight_D, double eps,
                                 double scale = 1.0);

/// A sum and its norm.
struct NormedSum {
  torch::Tensor sum;     ///< x + update
  torch::Tensor normed;  ///< rms_norm(sum)
};

/// x + update and its rms_norm, in one pass over memory; so is the way back.
/// @param x,update of one shape and dtype; the other parameters are rms_norm's
/// @throws ShapeError if the shapes don't fit
NormedSum add_rms_norm(const torch::Tensor& x, const torch::Tensor& update,
                       const torch::Tensor& weight_D, double eps, double scale = 1.0);

}  // namespace fathom
