// Admin's profiling pass: start values of the skip gains from the variances of the branches.
#pragma once

#include <torch/types.h>

#include "fathom/model/llama.h"

namespace fathom {

/// Whether a plan has gains that start by profiling.
bool needs_profile(const ModelPlan& plan);

/// Sets each profiled skip gain to sqrt(sum of Var[F] over the branches before), measured in one
/// forward pass in which all skip gains are at their plan's start; the first keeps its start, as in
/// the authors' code, because nothing comes before it. Deterministic.
/// @param input_BT int64 token ids
/// @param counts_BT bool, positions whose activations count; undefined = all
/// @see arXiv:2004.08249, section 4.2
void profile_skips(Llama& model, const torch::Tensor& input_BT, const torch::Tensor& counts_BT);

}  // namespace fathom
