#include "fathom/train/optimizer.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fathom/train/state.h"
#include "model/tiny_model.h"

namespace fathom {
namespace {

torch::Tensor scalar(double value, torch::ScalarType dtype = torch::kFloat32) {
  return torch::full({}, value, dtype);
}

class EveryRow : public testing::TestWithParam<const OptimizerRow*> {
 protected:
  EveryRow() {
    config_.model = tiny_config("lns");
    config_.optimizer.name = GetParam()->name;
    config_.optimizer.weight_decay = 0.1;
  }

  TrainState start() const {
    return make_train_state(config_, resolve_plan(config_.model), torch::kCPU, /*start=*/true);
  }

  RunConfig config_;
};

TEST_P(EveryRow, LeavesAllAsItIsInAStepThatIsSkipped) {
  TrainState state = start();
  for (ParameterState& entry : state.optimizer.states()) {
    for (StateTensor& kept : entry.kept) kept.value.normal_();
    entry.parameter.mutable_grad() =
        torch::full_like(entry.parameter, std::numeric_limits<double>::quiet_NaN()).detach();
  }
  const auto copies = [&] {
    std::vector<torch::Tensor> all = {state.optimizer.step_count().clone()};
    for (const ParameterState& entry : state.optimizer.states()) {
      all.push_back(entry.parameter.detach().clone());
      for (const StateTensor& kept : entry.kept) all.push_back(kept.value.clone());
    }
    return all;
  };
  const std::vector<torch::Tensor> before = copies();
  state.optimizer.step(scalar(0.1, torch::kFloat64), scalar(1), /*skip=*/scalar(1));
  const std::vector<torch::Tensor> after = copies();
  for (size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(torch::equal(after[i], before[i])) << i;
}

TEST_P(EveryRow, KeepsAsManyNumbersAsItsCostSays) {
  int64_t numbers = 0;
  TrainState state = start();
  for (const ParameterState& entry : state.optimizer.states()) {
    for (const StateTensor& kept : entry.kept) {
      EXPECT_EQ(kept.value.sizes(), entry.parameter.sizes());
      numbers += kept.value.numel();
    }
  }
  EXPECT_EQ(GetParam()->state_numbers(count_parameters(config_.model, resolve_plan(config_.model))),
            numbers);
}

std::vector<const OptimizerRow*> rows() {
  std::vector<const OptimizerRow*> all;
  for (const OptimizerRow& row : optimizers()) all.push_back(&row);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Optimizers, EveryRow, testing::ValuesIn(rows()),
                         [](const auto& row) { return std::string(row.param->name); });

// The iteration leaves singular vectors alone and takes each singular value s to a s + b s^3 + c
// s^5.
double iterated(double s, int64_t steps) {
  for (int64_t i = 0; i < steps; ++i)
    s = 3.4445 * s - 4.7750 * std::pow(s, 3) + 2.0315 * std::pow(s, 5);
  return s;
}

TEST(Muon, MovesAMatrixAlongItsGradientWithSingularValuesNearOne) {
  torch::manual_seed(5);
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{6, 10}, {10, 6}, {7, 7}}) {
    for (const char* scale : {"original", "match_rms_adamw"}) {
      OptimizerConfig config;
      config.name = "muon";
      config.momentum = 0;
      config.update_scale = scale;
      torch::Tensor weight = torch::zeros({rows, columns}, torch::kFloat64).requires_grad_();
      const torch::Tensor gradient = torch::randn({rows, columns}, torch::kFloat64);
      weight.mutable_grad() = gradient.clone();
      torch::OrderedDict<std::string, torch::Tensor> parameters;
      parameters.insert("model.layers.0.mlp.up_proj.weight", weight);
      Optimizer(config, parameters).step(scalar(1, torch::kFloat64), scalar(2), scalar(0));
      const auto [u, s, vt] = at::linalg_svd(gradient, /*full_matrices=*/false);
      const torch::Tensor scaled = s / gradient.norm();
      torch::Tensor expected_s = torch::empty_like(s);
      for (int64_t i = 0; i < s.size(0); ++i)
        expected_s[i] = iterated(scaled[i].item<double>(), config.newton_schulz_steps);
      const auto r = static_cast<double>(rows), c = static_cast<double>(columns);
      const double factor = std::string(scale) == "original" ? std::sqrt(std::max(1.0, r / c))
                                                             : 0.2 * std::sqrt(std::max(r, c));
      const torch::Tensor expected = -factor * u.matmul(at::diag(expected_s)).matmul(vt);
      // Each of five iterations makes an error in a small singular value 3.4 times as large.
      EXPECT_TRUE(torch::allclose(weight.detach(), expected, 0, 1e-11)) << rows << " " << scale;
    }
  }
}

}  // namespace
}  // namespace fathom
