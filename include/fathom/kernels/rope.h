// Rotary position embedding in Llama's layout: channel i is paired with channel i + head_dim / 2.
// Shape suffixes: B batch, H heads, T time, C channels of a head, F = C / 2 frequencies.
#pragma once

#include <torch/types.h>

namespace fathom {

/// Rotates each pair of channels by the angle of its position.
/// @param x_BHTC queries or keys; the result has its shape and dtype
/// @param cos_TF,sin_TF cosine and sine of position * frequency, in float32 or wider
/// @throws ShapeError if the tables don't fit x
/// @see arXiv:2104.09864, eq. 34
torch::Tensor apply_rope(const torch::Tensor& x_BHTC, const torch::Tensor& cos_TF,
                         const torch::Tensor& sin_TF);

}  // namespace fathom
