// The head's loss and gradients on the CPU.
#pragma once

#include <torch/types.h>

#include "kernels/head_loss.h"

namespace fathom {

/// linear_cross_entropy and its gradients for float32 or bf16, without ignored rows. A block of
/// rows for each thread meets the vocabulary tile by tile: the product with a tile, its
/// exponentials and their product with the weight happen while it is in the cache.
HeadLoss cpu_head_loss(const torch::Tensor& hidden_ND, const torch::Tensor& weight_VD,
                       const torch::Tensor& target_N, double scale, double z_loss,
                       bool needs_gradient);

/// Rows of logits that exist at a time.
int64_t cpu_head_rows();

}  // namespace fathom
