#include "fathom/train/optimizer.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "fathom/base/error.h"
#include "fathom/base/hash.h"
#include "fathom/base/names.h"
#include "fathom/kernels/adam.h"
#include "train/optimizers/adam.h"
#include "train/optimizers/muon.h"

namespace fathom {
namespace {

const std::array kOptimizers = {
    OptimizerRow{"adam",
                 "moments of g + wd w",
                 "arXiv:1412.6980",
                 {"stochastic_rounding"},
                 &make_adam,
                 &adam_numbers},
    OptimizerRow{"adamw",
                 "moments of g; w shrinks by lr wd",
                 "arXiv:1711.05101",
                 {"stochastic_rounding"},
                 &make_adamw,
                 &adam_numbers},
    OptimizerRow{"muon",
                 "momentum of g made orthogonal, for the blocks' matrices; AdamW for the rest",
                 "https://kellerjordan.github.io/posts/muon",
                 {"momentum", "nesterov", "newton_schulz_steps", "update_scale"},
                 &make_muon,
                 &muon_numbers},
};

/// Zeros like a parameter, or its shape alone.
torch::Tensor start_state(const torch::Tensor& parameter, bool owned) {
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

const OptimizerRow& optimizer_row(const OptimizerConfig& config) {
  return find_row(optimizers(), config.name, "optimizer.name");
}

Optimizer::Optimizer(const OptimizerConfig& config,
                     const torch::OrderedDict<std::string, torch::Tensor>& parameters, Shard shard,
                     int64_t seed)
    : rule_(optimizer_row(config).make(config)) {
  std::vector<int64_t> sizes;
  for (const auto& entry : parameters) sizes.push_back(entry.value().numel());
  const std::vector<int64_t> owners = balanced_owners(sizes, shard.world_size);
  for (const auto& entry : parameters) {
    const int64_t owner = owners[states_.size()];
    const bool owned = owner == shard.rank;
    if (owned) owned_.push_back(states_.size());
    ParameterState state{entry.key(), entry.value(), {}, owner, seed_of(seed, entry.key())};
    for (const std::string& name : rule_->state_names(entry.key(), entry.value()))
      state.kept.push_back({name, start_state(entry.value(), owned)});
    states_.push_back(std::move(state));
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
  std::vector<ParameterState*> owned;
  for (const size_t i : owned_) owned.push_back(&states_[i]);
  rule_->update(owned, {lr, step_count_ + 1, gradient_divisor, skip});
  step_count_ += 1 - skip;
}

}  // namespace fathom
