#include "train/optimizers/muon.h"

#include <algorithm>
#include <cmath>

#include "train/optimizers/adam.h"

namespace fathom {
namespace {

/// The rows of embedding and head belong to single tokens, so those are no maps between spaces.
bool is_block_matrix(const std::string& name, const torch::Tensor& parameter) {
  return parameter.dim() == 2 && name.find("layers.") != std::string::npos;
}

torch::ScalarType at_least_float32(const torch::Tensor& tensor) {
  return tensor.scalar_type() == torch::kBFloat16 ? torch::kFloat32 : tensor.scalar_type();
}

/// U Sigma' V^T of a matrix U Sigma V^T, with singular values near 1, by Newton-Schulz iterations
/// of degree 5.
torch::Tensor orthogonalized(const torch::Tensor& matrix, int64_t steps) {
  // Its author's: the steepest at 0 that keep singular values within 0.7 and 1.2.
  constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
  constexpr double kLeastNorm = 1e-7;
  const bool tall = matrix.size(0) > matrix.size(1);  // the products are of the shorter side
  torch::Tensor x = tall ? matrix.t() : matrix;
  x = x / x.norm().clamp_min(kLeastNorm);  // no singular value above 1
  for (int64_t i = 0; i < steps; ++i) {
    const torch::Tensor gram = x.mm(x.t());
    x = at::addmm(x, at::addmm(gram, gram, gram, kB, kC), x, kA);
  }
  return tall ? x.t() : x;
}

class MuonRule : public UpdateRule {
 public:
  explicit MuonRule(const OptimizerConfig& config)
      : config_(config), others_(config, /*decoupled_decay=*/true) {}

  std::vector<std::string> state_names(const std::string& name,
                                       const torch::Tensor& parameter) const override {
    if (is_block_matrix(name, parameter)) return {"momentum"};
    return others_.state_names(name, parameter);
  }

  void update(std::span<ParameterState* const> states,
              const UpdateScalars& scalars) const override {
    std::vector<ParameterState*> others;
    for (ParameterState* state : states) {
      if (is_block_matrix(state->name, state->parameter)) {
        update_matrix(state->parameter, state->kept[0].value, scalars);
      } else {
        others.push_back(state);
      }
    }
    others_.update(others, scalars);
  }

 private:
  /// @param parameter, momentum [rows, columns]
  void update_matrix(torch::Tensor parameter, torch::Tensor momentum,
                     const UpdateScalars& scalars) const {
    const auto wide = at_least_float32(parameter);
    // A step that is skipped has a gradient that may not be finite: 0 changes nothing below.
    const torch::Tensor kept = 1 - scalars.skip;
    const torch::Tensor gradient =
        torch::where(scalars.skip > 0, torch::zeros({}, parameter.options().dtype(wide)),
                     parameter.grad().to(wide) / scalars.gradient_divisor);
    const torch::Tensor sum = momentum.to(wide).lerp(
        gradient, ((1 - config_.momentum) * kept).to(gradient.scalar_type()));
    momentum.copy_(sum);
    const torch::Tensor direction = config_.nesterov ? gradient.lerp(sum, config_.momentum) : sum;
    const torch::Tensor update =
        orthogonalized(direction.to(parameter.scalar_type()), config_.newton_schulz_steps);
    const torch::Tensor lr = scalars.lr * kept;
    const torch::Tensor weight = parameter.to(wide) * (1 - lr * config_.weight_decay);
    parameter.copy_(weight - update.to(wide) * (lr * scale_of(parameter)));
  }

  double scale_of(const torch::Tensor& parameter) const {
    const auto rows = static_cast<double>(parameter.size(0));
    const auto columns = static_cast<double>(parameter.size(1));
    if (config_.update_scale == "original") return std::sqrt(std::max(1.0, rows / columns));
    return 0.2 * std::sqrt(std::max(rows, columns));
  }

  OptimizerConfig config_;
  AdamRule others_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_muon(const OptimizerConfig& config) {
  return std::make_unique<MuonRule>(config);
}

int64_t muon_numbers(const ParameterCount& parameters) {
  return 2 * parameters.total() - parameters.block_matrices;
}

}  // namespace fathom
