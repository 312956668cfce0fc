// The gate of Llama's feed-forward.
#pragma once

#include <torch/types.h>

namespace fathom {

/// silu(gate) * up. Keeps only its inputs for the backward pass, which computes silu again.
/// @param gate,up activations of one shape and dtype; the result has both
/// @see arXiv:2002.05202, eq. 6
torch::Tensor swiglu(const torch::Tensor& gate, const torch::Tensor& up);

}  // namespace fathom
