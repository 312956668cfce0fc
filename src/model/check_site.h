// Compares one measured residual step with its plan, and names the field that differs.
#pragma once

#include <string>
#include <vector>

#include "fathom/model/block.h"
#include "fathom/model/check.h"

namespace fathom {

/// Activations of one residual step, float64 on the CPU, [N, D]: the first token is so small that
/// eps shows in a norm of it, the last so large that a tanh of it saturates.
struct ObservedSite {
  torch::Tensor input;
  torch::Tensor branch_input;
  torch::Tensor branch_output;
  torch::Tensor output;
};

/// Activations of this kind: [tokens, dim], the same at every call.
torch::Tensor probe_activations(int64_t tokens, int64_t dim, double eps);

/// Evaluates the plan's formula on what was observed, with the parameters that the block has, and
/// compares. Where they differ, tries each field of the plan with other values, so that the
/// measurement names the field and the value that explain what was observed.
/// @param eps of the norms
std::vector<CheckedValue> compare_site(const std::string& where, const SitePlan& plan,
                                       const ObservedSite& observed,
                                       const BlockImpl::SiteParameters& parameters, double eps);

/// The same for a norm alone: output = norm(input), up to `tolerance` relative to a token.
std::vector<CheckedValue> compare_norm(const std::string& where, const std::string& what,
                                       const NormPlan& plan, const torch::Tensor& input,
                                       const torch::Tensor& output, const Norm& norm, double eps,
                                       double tolerance);

/// The same for the norm of a projection's heads. @param raw [N, heads * C] @param out the same
CheckedValue compare_head_norm(const std::string& where, const std::string& what, HeadNorm plan,
                               const torch::Tensor& raw, const torch::Tensor& out, const Norm& norm,
                               int64_t head_size, double eps);

std::string describe(const NormPlan& norm);
std::string describe(const GainPlan& gain);

}  // namespace fathom
