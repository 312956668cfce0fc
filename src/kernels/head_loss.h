// The head's loss and gradients, for any device and type.
#pragma once

#include <torch/types.h>

#include "kernels/dispatch.h"

namespace fathom {

/// Gradients are undefined where they weren't asked for.
struct HeadLoss {
  torch::Tensor loss;            ///< float32 scalar
  torch::Tensor grad_hidden_ND;  ///< of hidden's dtype
  torch::Tensor grad_weight_VD;  ///< float32
};

/// linear_cross_entropy and its gradients, some rows of logits at a time, for any device.
/// @param stride numbers from one row of logits to the next; at least the vocabulary
HeadLoss head_loss_by_rows(const torch::Tensor& hidden_ND, const torch::Tensor& weight_VD,
                           const torch::Tensor& target_N, double scale, double z_loss,
                           bool needs_gradient, int64_t stride);

/// The loops for whole rows of logits like these, or null.
const RowKernels* loss_kernels_for(const torch::Tensor& logits);

}  // namespace fathom
