// Activation checkpointing: a function whose activations are computed again in the backward pass.
#pragma once

#include <torch/autograd.h>
#include <torch/types.h>

#include <functional>

namespace fathom {

using TensorFunction = std::function<torch::Tensor(const torch::Tensor&)>;

/// function(x), keeping only x for the backward pass. Parameters that the function uses get their
/// gradients too.
torch::Tensor recompute_in_backward(const TensorFunction& function, const torch::Tensor& x);

}  // namespace fathom
