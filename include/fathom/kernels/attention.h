// Causal self-attention. Shape suffixes: B batch, H heads, T time, C channels of a head.
#pragma once

#include <torch/types.h>

namespace fathom {

/// softmax(mask(q k^T / sqrt(C))) v, where a position sees itself and what is before it. The
/// backward pass keeps q, k, v, the result and a number for each query.
/// @param q_BHTC queries
/// @param k_BHTC,v_BHTC keys and values; their heads divide H, and each serves H / heads queries
///   that follow each other
/// @returns [B, H, T, C] in q's dtype. The fused version, for float32 on a CPU with AVX2, leaves it
///   in the memory order of [B, T, H, C], and the gradients as parts of one [B, T, (H + 2 heads)
///   C].
/// @throws ShapeError if shapes don't fit
/// @see arXiv:1706.03762, eq. 1; arXiv:2307.08691 for the backward pass
torch::Tensor causal_attention(const torch::Tensor& q_BHTC, const torch::Tensor& k_BHTC,
                               const torch::Tensor& v_BHTC);

}  // namespace fathom
