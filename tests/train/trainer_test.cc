#include "fathom/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>

#include "model/tiny_model.h"

namespace fathom {
namespace {

RunConfig tiny_run(const std::string& placement = "lns") {
  RunConfig config;
  config.model = tiny_config(placement);
  config.data.sequence_length = 8;
  config.train.max_steps = 6;
  config.train.global_batch_size = 4;
  config.optimizer.lr = 1e-2;
  config.lr_scheduler.type = "constant";
  config.log.interval = 1;
  return config;
}

/// Rows of which some end in padding.
Batch tiny_batch(int64_t step, int64_t rows = 4, int64_t length = 8) {
  const torch::Tensor tokens = tiny_tokens(rows, length + 1, step + 100);
  Batch batch;
  batch.rows = rows;
  batch.length = length;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t t = 0; t < length; ++t) {
      const bool padding = row % 3 == 0 && t >= length / 2;
      batch.input.push_back(padding ? 0 : tokens[row][t].item<int64_t>());
      batch.target.push_back(padding ? kIgnoredTarget : tokens[row][t + 1].item<int64_t>());
      batch.tokens += padding ? 0 : 1;
    }
  }
  batch.targets = batch.tokens;
  return batch;
}

TrainState start(const RunConfig& config) {
  return make_train_state(config, resolve_plan(config.model), torch::kCPU, /*start=*/true);
}

class Recorder : public Observer {
 public:
  std::string name() const override { return "recorder"; }
  void on_step(const StepEvent& event) override {
    losses.push_back(event.result.loss.item<float>());
  }
  void on_end(TrainState&, bool complete) override { ended = complete ? "complete" : "early"; }
  std::vector<float> losses;
  std::string ended;
};

TEST(AccumulateGradients, IsTheSameForAnyMicroBatchSizeWithPaddedRows) {
  const Batch batch = tiny_batch(0, 16);
  const auto gradients = [&](int64_t rows) {
    Llama model = tiny_model(tiny_config("lns"));
    accumulate_gradients(model, to_device(batch, torch::kCPU), batch.targets, rows);
    std::vector<torch::Tensor> flat;
    for (const torch::Tensor& parameter : model->parameters())
      flat.push_back(parameter.grad().flatten());
    return torch::cat(flat);
  };
  const torch::Tensor whole = gradients(16);
  for (const int64_t rows : {1, 4, 5}) {
    const double error = ((gradients(rows) - whole).norm() / whole.norm()).item<double>();
    EXPECT_LE(error, 1e-10) << rows;
  }
}

TEST(AccumulateGradients, IsTheMeanOverTheTokensThatCount) {
  Llama model = tiny_model(tiny_config());
  const Batch batch = tiny_batch(3);
  const BatchTensors tensors = to_device(batch, torch::kCPU);
  const torch::Tensor loss = accumulate_gradients(model, tensors, batch.targets, 1);
  const torch::NoGradGuard no_grad;
  const torch::Tensor logits = model->logits(model->hidden(tensors.input_BT));
  const torch::Tensor expected = at::cross_entropy_loss(
      logits.flatten(0, 1), tensors.target_BT.flatten(), {}, at::Reduction::Mean, kIgnoredTarget);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-12);
}

TEST(TrainStep, ClipsTheGradientToTheGivenNorm) {
  // With plain SGD in Adam's clothes: betas 0 make the update lr g / (|g| + eps), eps huge makes it
  // lr g / eps.
  RunConfig config = tiny_run();
  config.optimizer.betas = {0.0, 0.0};
  config.optimizer.eps = 1e6;
  const auto movement = [&](double clip) {
    TrainState state = start(config);
    const torch::Tensor before = state.model->block(1)->mlp->up_proj->weight.detach().clone();
    const StepResult result = train_step(state, tiny_batch(0), 4, 1e6, clip);
    const torch::Tensor moved = state.model->block(1)->mlp->up_proj->weight.detach() - before;
    return std::pair(moved, result.gradient_norm.item<double>());
  };
  const auto [free, norm] = movement(0);
  const auto [clipped, same_norm] = movement(norm / 2);
  EXPECT_DOUBLE_EQ(norm, same_norm);
  // Weights near 0.1 are rounded to 7e-9, so the movements compare to 1e-7.
  EXPECT_TRUE(torch::allclose(clipped * 2, free, 1e-3, 1e-7));
  EXPECT_GT(free.abs().max().item<float>(), 1e-3F);
  EXPECT_TRUE(torch::equal(movement(norm * 2).first, free));
}

class EveryOptimizer : public testing::TestWithParam<const OptimizerRow*> {};

TEST_P(EveryOptimizer, LowersTheLossInEveryPrecision) {
  for (const char* precision : {"fp32", "bf16_mixed", "bf16"}) {
    RunConfig config = tiny_run();
    config.optimizer.name = GetParam()->name;
    config.train.precision = precision;
    config.train.max_steps = 30;
    TrainState state = start(config);
    Recorder recorder;
    train(
        config, state, [](int64_t) { return tiny_batch(0); }, {&recorder}, StopFlag());
    EXPECT_LT(recorder.losses.back(), recorder.losses.front() - 0.5) << precision;
    EXPECT_EQ(recorder.ended, "complete");
    EXPECT_EQ(state.tokens, 30 * tiny_batch(0).tokens);
    const auto dtype = std::string(precision) == "bf16" ? torch::kBFloat16 : torch::kFloat32;
    for (ParameterState& entry : state.optimizer.states()) {
      EXPECT_EQ(entry.parameter.scalar_type(), dtype);
      for (const StateTensor& kept : entry.kept) EXPECT_EQ(kept.value.scalar_type(), dtype);
    }
  }
}

std::vector<const OptimizerRow*> rows_of_optimizers() {
  std::vector<const OptimizerRow*> rows;
  for (const OptimizerRow& row : optimizers()) rows.push_back(&row);
  return rows;
}

INSTANTIATE_TEST_SUITE_P(Optimizers, EveryOptimizer, testing::ValuesIn(rows_of_optimizers()),
                         [](const auto& row) { return std::string(row.param->name); });

TEST(Train, MovesEveryParameter) {
  for (const Placement& row : placements()) {
    RunConfig config = tiny_run(std::string(row.name));
    TrainState state = start(config);
    std::vector<torch::Tensor> before;
    for (const torch::Tensor& parameter : state.model->parameters())
      before.push_back(parameter.detach().clone());
    train(
        config, state, [](int64_t step) { return tiny_batch(step); }, {}, StopFlag());
    size_t i = 0;
    for (const auto& entry : state.model->named_parameters())
      EXPECT_FALSE(torch::equal(entry.value(), before[i++])) << row.name << " " << entry.key();
  }
}

TEST(Train, StopsBeforeANonFiniteUpdateAndNamesTheLayer) {
  const RunConfig config = tiny_run();
  TrainState state = start(config);
  torch::Tensor after_second_step;
  class Breaker : public Observer {
   public:
    explicit Breaker(torch::Tensor& copy) : copy_(copy) {}
    std::string name() const override { return "breaker"; }
    bool reads(int64_t step) const override { return step == 4; }
    void on_step(const StepEvent& event) override {
      if (event.state.step != 2) return;
      const torch::NoGradGuard no_grad;
      event.state.model->block(2)->mlp->down_proj->weight[0][0] = NAN;
      copy_ = event.state.model->block(0)->mlp->down_proj->weight.detach().clone();
    }
    torch::Tensor& copy_;
  } breaker(after_second_step);
  try {
    train(
        config, state, [](int64_t step) { return tiny_batch(step); }, {&breaker}, StopFlag());
    FAIL() << "training went on with a NaN";
  } catch (const Divergence& error) {
    EXPECT_EQ(error.step(), 3);
    EXPECT_EQ(error.place(), "layer 3, feed-forward");
    EXPECT_THAT(error.what(),
                testing::HasSubstr(
                    "step 3: the loss or gradient isn't finite, first in layer 3, feed-forward"));
  }
  // Steps 3 and 4 ran on the device before the host looked, and changed nothing.
  EXPECT_EQ(state.step, 4);
  EXPECT_TRUE(torch::equal(state.model->block(0)->mlp->down_proj->weight, after_second_step));
  EXPECT_EQ(state.optimizer.step_count().item<float>(), 2.0F);
}

TEST(Train, EndsEarlyOnASignalAfterTheStepItIsIn) {
  const RunConfig config = tiny_run();
  TrainState state = start(config);
  StopFlag stop;
  Recorder recorder;
  const auto batches = [&](int64_t step) {
    if (step == 2) stop.request(SIGTERM);
    return tiny_batch(step);
  };
  try {
    train(config, state, batches, {&recorder}, stop);
    FAIL() << "the signal was ignored";
  } catch (const Interrupted& interrupted) {
    EXPECT_EQ(interrupted.exit_code(), 143);
  }
  EXPECT_EQ(state.step, 3);
  EXPECT_EQ(recorder.ended, "early");
}

/// Copies of parameters and of what the optimizer keeps for them.
std::vector<torch::Tensor> all_tensors(TrainState& state) {
  std::vector<torch::Tensor> all;
  for (const ParameterState& entry : state.optimizer.states()) {
    all.push_back(entry.parameter.detach().clone());
    for (const StateTensor& kept : entry.kept) all.push_back(kept.value.clone());
  }
  return all;
}

TEST(Train, DropsTheStepInFlightBetweenMicroBatches) {
  RunConfig config = tiny_run();
  config.train.micro_batch_size = 1;
  TrainState state = start(config);
  StopFlag stop;
  std::vector<torch::Tensor> before;
  const auto batches = [&](int64_t step) {
    if (step == 2) {
      stop.request(SIGTERM);
      before = all_tensors(state);
    }
    return tiny_batch(step);
  };
  Recorder recorder;
  EXPECT_THROW(train(config, state, batches, {&recorder}, stop), Interrupted);
  EXPECT_EQ(state.step, 2);
  EXPECT_EQ(state.optimizer.step_count().item<float>(), 2.0F);
  EXPECT_EQ(recorder.losses.size(), 2U);
  EXPECT_EQ(recorder.ended, "early");
  ASSERT_FALSE(before.empty());
  const std::vector<torch::Tensor> after = all_tensors(state);
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(torch::equal(after[i], before[i])) << i;
}

TEST(Train, EndsAsAfterASignalWhenOneComesInTheLastEvaluation) {
  RunConfig config = tiny_run();
  config.train.max_steps = 1;
  TrainState state = start(config);
  class Evaluation : public Observer {
   public:
    std::string name() const override { return "evaluation"; }
    void on_end(TrainState&, bool complete) override {
      if (complete) throw Interrupted(SIGINT);
    }
  } evaluation;
  Recorder saves;
  EXPECT_THROW(train(
                   config, state, [](int64_t step) { return tiny_batch(step); },
                   {&evaluation, &saves}, StopFlag()),
               Interrupted);
  EXPECT_EQ(saves.ended, "early");
}

TEST(Optimizer, DecaysMatricesOnly) {
  RunConfig config = tiny_run();
  config.optimizer.name = "adamw";
  config.optimizer.weight_decay = 0.5;
  TrainState state = start(config);
  for (torch::Tensor& parameter : state.model->parameters())
    parameter.mutable_grad() = torch::zeros_like(parameter);
  const torch::Tensor matrix = state.model->block(0)->mlp->up_proj->weight.detach().clone();
  state.optimizer.step(torch::full({}, 0.1, torch::kFloat64), torch::ones({}), torch::zeros({}));
  EXPECT_TRUE(
      torch::allclose(state.model->block(0)->mlp->up_proj->weight, matrix * 0.95));  // 1 - lr wd
  EXPECT_EQ(state.model->final_norm()->weight.min().item<float>(), 1.0F);
}

}  // namespace
}  // namespace fathom
