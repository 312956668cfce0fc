// The language-model head and its loss in one: logits exist only for a few rows at a time.
// Shape suffixes: N rows (positions), D model width, V vocabulary.
#pragma once

#include <torch/types.h>

namespace fathom {

/// Sum over rows of -log softmax(hidden weight^T)[target], times `scale`; rows whose target is
/// kIgnoredTarget add 0. The gradient is computed in the forward pass, chunk by chunk, so that [N,
/// V] logits are never stored. Softmax and loss are in float32 (float64 for float64 input); dW is
/// accumulated in that type, of products that a CPU rounds to the weight's.
/// @param hidden_ND activations
/// @param weight_VD head weight, of hidden's dtype
/// @param target_N int64 class of each row, or kIgnoredTarget
/// @param scale usually 1 / (non-ignored targets of the global batch), which makes sums over
/// micro-batches the mean
/// @param z_loss weight of an added log(sum of exp(logits))^2 in each row, which keeps logits from
/// drifting (arXiv:2204.02311, section 5); 0 = none
/// @returns a scalar of the accumulation type
/// @throws ShapeError if the shapes don't fit; on a CPU std::out_of_range for a class that there
/// isn't, which on a GPU makes the loss NaN
torch::Tensor linear_cross_entropy(const torch::Tensor& hidden_ND, const torch::Tensor& weight_VD,
                                   const torch::Tensor& target_N, double scale,
                                   double z_loss = 0.0);

/// Rows of logits that exist at a time: enough for GEMMs at full speed, few beside the activations.
int64_t loss_chunk_rows(const torch::Device& device);

}  // namespace fathom
