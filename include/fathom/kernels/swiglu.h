// The gate of Llama's feed-forward, and the feed-forward around it.
// Shape suffixes: D model width, I inner width.
#pragma once

#include <torch/types.h>

namespace fathom {

/// silu(gate) * up. Keeps only its inputs for the backward pass, which computes silu again.
/// @param gate,up activations of one shape and dtype; the result has both
/// @see arXiv:2002.05202, eq. 6
torch::Tensor swiglu(const torch::Tensor& gate, const torch::Tensor& up);

/// swiglu(x gate^T, x up^T) down^T. Gate and up are one GEMM where they lie one after the other
/// (kernels/packed.h). Kept for the backward pass: x and the products with gate and up. On a GPU an
/// inner width that breaks the alignment of 16-bit rows (5461) is padded with zeros on the way,
/// which changes nothing.
/// @param x [..., D]; the result has its shape and dtype
/// @param gate_ID,up_ID,down_DI weights of any float dtype, read as x's
torch::Tensor swiglu_feed_forward(const torch::Tensor& x, const torch::Tensor& gate_ID,
                                  const torch::Tensor& up_ID, const torch::Tensor& down_DI);

}  // namespace fathom
