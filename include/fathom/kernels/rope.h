// Rotary position embedding in Llama's layout: channel i is paired with channel i + head_dim / 2.
// Shape suffixes: B batch, H heads, T time, C channels of a head, F = C / 2 frequencies, D model
// width.
#pragma once

#include <torch/types.h>

#include <vector>

namespace fathom {

/// Rotates each pair of channels by the angle of its position.
/// @param x_BHTC queries or keys; the result has its shape and dtype
/// @param cos_TF,sin_TF cosine and sine of position * frequency, in float32 or wider
/// @throws ShapeError if the tables don't fit x
/// @see arXiv:2104.09864, eq. 34
torch::Tensor apply_rope(const torch::Tensor& x_BHTC, const torch::Tensor& cos_TF,
                         const torch::Tensor& sin_TF);

/// A weight [heads C, D] and its bias [heads C], or an undefined one.
struct HeadProjection {
  torch::Tensor weight;
  torch::Tensor bias;
};

/// Queries, keys and values of all heads from one GEMM, where the three weights lie one after the
/// other (kernels/packed.h), and queries and keys rotated where they lie. x alone is kept for the
/// backward pass.
/// @param x_BTD activations
/// @param projections of query, key and value
/// @param head_size C
/// @param cos_TF,sin_TF as of apply_rope; undefined: nothing is rotated
/// @returns query, key and value [B, H, T, C], strided
std::vector<torch::Tensor> project_heads(const torch::Tensor& x_BTD,
                                         const std::vector<HeadProjection>& projections,
                                         int64_t head_size, const torch::Tensor& cos_TF,
                                         const torch::Tensor& sin_TF);

}  // namespace fathom
