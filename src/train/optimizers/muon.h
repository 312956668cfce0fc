// Muon: momentum, made orthogonal.
#pragma once

#include "fathom/train/optimizer.h"

namespace fathom {

/// The matrices of the blocks, each by itself (query, key and value apart, gate and up apart), by
/// Muon; embedding, head, norms, gains and biases by AdamW. The iteration runs in float32, for
/// weights in bf16 in bf16, as its author's does.
/// @see https://kellerjordan.github.io/posts/muon; optimizer.update_scale: arXiv:2502.16982
std::unique_ptr<UpdateRule> make_muon(const OptimizerConfig& config);
/// One momentum for each weight of a block's matrices, both moments for the rest.
int64_t muon_numbers(const ParameterCount& parameters);

}  // namespace fathom
