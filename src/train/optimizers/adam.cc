#include "train/optimizers/adam.h"

#include "fathom/kernels/adam.h"

namespace fathom {

std::vector<std::string> AdamRule::state_names(const std::string& /*name*/,
                                               const torch::Tensor& /*parameter*/) const {
  return {"first_moment", "second_moment"};
}

void AdamRule::update(std::span<ParameterState* const> states, const UpdateScalars& scalars) const {
  AdamTensors decayed, not_decayed;
  for (const ParameterState* state : states) {
    AdamTensors& tensors = state->parameter.dim() > 1 ? decayed : not_decayed;
    tensors.parameters.push_back(state->parameter);
    tensors.gradients.push_back(state->parameter.grad());
    tensors.first_moments.push_back(state->kept[0].value);
    tensors.second_moments.push_back(state->kept[1].value);
    tensors.keys.push_back(state->key);
  }
  AdamOptions options = {.beta1 = config_.betas[0],
                         .beta2 = config_.betas[1],
                         .eps = config_.eps,
                         .weight_decay = config_.weight_decay,
                         .decoupled_decay = decoupled_decay_,
                         .stochastic_rounding = config_.stochastic_rounding};
  adam_step(options, decayed, scalars.lr, scalars.step, scalars.gradient_divisor, scalars.skip);
  options.weight_decay = 0;
  adam_step(options, not_decayed, scalars.lr, scalars.step, scalars.gradient_divisor, scalars.skip);
}

std::unique_ptr<UpdateRule> make_adam(const OptimizerConfig& config) {
  return std::make_unique<AdamRule>(config, /*decoupled_decay=*/false);
}

std::unique_ptr<UpdateRule> make_adamw(const OptimizerConfig& config) {
  return std::make_unique<AdamRule>(config, /*decoupled_decay=*/true);
}

int64_t adam_numbers(const ParameterCount& parameters) { return 2 * parameters.total(); }

}  // namespace fathom
