#include "fathom/train/optimizer.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "fathom/base/error.h"
#include "fathom/base/hash.h"
#include "fathom/base/names.h"
#include "fathom/kernels/adam.h"

namespace fathom {
namespace {

constexpr std::array kOptimizers = {
    OptimizerRow{"adam", false, "moments of g + wd w", "arXiv:1412.6980"},
    OptimizerRow{"adamw", true, "moments of g; w shrinks by lr wd", "arXiv:1711.05101"},
};

/// Zeros like a parameter, or its shape alone.
torch::Tensor start_moment(const torch::Tensor& parameter, bool owned) {
  if (owned) return torch::zeros_like(parameter).detach();
  return torch::empty_like(parameter, torch::TensorOptions(torch::kMeta)).detach();
}

}  // namespace

std::vector<int64_t> balanced_owners(const std::vector<int64_t>& sizes, int64_t ranks) {
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  std::vector<int64_t> load(static_cast<size_t>(ranks)), owners(sizes.size());
  for (const size_t i : order) {
    const auto least = std::min_element(load.begin(), load.end());
    owners[i] = least - load.begin();
    *least += sizes[i];
  }
  return owners;
}

std::span<const OptimizerRow> optimizers() { return kOptimizers; }

Optimizer::Optimizer(const OptimizerConfig& config,
                     const torch::OrderedDict<std::string, torch::Tensor>& parameters, Shard shard,
                     int64_t seed)
    : config_(config),
      decoupled_decay_(find_row(optimizers(), config.name, "optimizer.name").decoupled_decay) {
  std::vector<int64_t> sizes;
  for (const auto& entry : parameters) sizes.push_back(entry.value().numel());
  const std::vector<int64_t> owners = balanced_owners(sizes, shard.world_size);
  for (const auto& entry : parameters) {
    const torch::Tensor& parameter = entry.value();
    const int64_t owner = owners[states_.size()];
    const bool owned = owner == shard.rank;
    if (owned) (parameter.dim() > 1 ? decayed_ : not_decayed_).push_back(states_.size());
    states_.push_back({entry.key(), parameter, start_moment(parameter, owned),
                       start_moment(parameter, owned), owner, seed_of(seed, entry.key())});
  }
  if (config.stochastic_rounding && !rounds_stochastically(states_.front().parameter))
    throw ConfigError(
        cat("optimizer.stochastic_rounding is true, which needs weights in bf16 and kernels of "
            "Fathom's own; use train.precision=bf16 with train.kernels=",
            states_.front().parameter.is_cpu() ? "auto" : "fused",
            ", or optimizer.stochastic_rounding=false"));
  step_count_ = torch::zeros(
      {}, states_.front().parameter.options().dtype(torch::kFloat32).requires_grad(false));
}

void Optimizer::step(const torch::Tensor& lr, const torch::Tensor& gradient_divisor,
                     const torch::Tensor& skip) {
  RECORD_USER_SCOPE("optimizer");
  const torch::NoGradGuard no_grad;
  const torch::Tensor step = step_count_ + 1;
  update(decayed_, config_.weight_decay, lr, step, gradient_divisor, skip);
  update(not_decayed_, 0.0, lr, step, gradient_divisor, skip);
  step_count_ += 1 - skip;
}

void Optimizer::update(const std::vector<size_t>& group, double weight_decay,
                       const torch::Tensor& lr, const torch::Tensor& step,
                       const torch::Tensor& gradient_divisor, const torch::Tensor& skip) {
  AdamTensors tensors;
  for (const size_t i : group) {
    tensors.parameters.push_back(states_[i].parameter);
    tensors.gradients.push_back(states_[i].parameter.grad());
    tensors.first_moments.push_back(states_[i].first_moment);
    tensors.second_moments.push_back(states_[i].second_moment);
    tensors.keys.push_back(states_[i].key);
  }
  adam_step({.beta1 = config_.betas[0],
             .beta2 = config_.betas[1],
             .eps = config_.eps,
             .weight_decay = weight_decay,
             .decoupled_decay = decoupled_decay_,
             .stochastic_rounding = config_.stochastic_rounding},
            tensors, lr, step, gradient_divisor, skip);
}

}  // namespace fathom
