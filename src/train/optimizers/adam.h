// Adam and AdamW.
#pragma once

#include "fathom/train/optimizer.h"

namespace fathom {

/// All parameters in one kernel call for those whose weights decay, the matrices, and one for the
/// others. @see kernels/adam.h
class AdamRule : public UpdateRule {
 public:
  /// @param decoupled_decay AdamW: the decay acts on the weight; Adam: it is added to the gradient
  AdamRule(const OptimizerConfig& config, bool decoupled_decay)
      : config_(config), decoupled_decay_(decoupled_decay) {}

  std::vector<std::string> state_names(const std::string& name,
                                       const torch::Tensor& parameter) const override;
  void update(std::span<ParameterState* const> states, const UpdateScalars& scalars) const override;

 private:
  OptimizerConfig config_;
  bool decoupled_decay_;
};

std::unique_ptr<UpdateRule> make_adam(const OptimizerConfig& config);
std::unique_ptr<UpdateRule> make_adamw(const OptimizerConfig& config);
/// Both moments of every parameter.
int64_t adam_numbers(const ParameterCount& parameters);

}  // namespace fathom
