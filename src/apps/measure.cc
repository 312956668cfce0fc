#include "apps/measure.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "fathom/model/placement.h"
#include "fathom/train/step.h"

namespace fathom {
namespace {

constexpr int64_t kTokens =
    512;  // of a micro-batch on a CPU: enough for matrix products' full speed
constexpr int kRepeats = 3;
constexpr double kLongSeconds = 2;  // of a step that isn't repeated

/// What steps of some depth cost.
struct StepCost {
  double step = 0;         ///< seconds of each step: optimizer, and what else comes once
  double micro_batch = 0;  ///< seconds of each micro-batch
};

Batch random_batch(const RunConfig& config, int64_t rows) {
  Batch batch;
  batch.rows = rows;
  batch.length = config.data.sequence_length;
  batch.tokens = batch.targets = rows * batch.length;
  const torch::Tensor ids =
      torch::randint(config.model.vocab_size, {2, batch.tokens}, torch::kInt32);
  const int32_t* id = ids.const_data_ptr<int32_t>();
  batch.input.assign(id, id + batch.tokens);
  batch.target.assign(id + batch.tokens, id + 2 * batch.tokens);
  return batch;
}

/// The fastest of some steps: what disturbs only ever adds.
double seconds_of_step(const RunConfig& config, TrainState& state, const Batch& batch,
                       int64_t rows_per_micro_batch, const StopFlag& stop) {
  double fastest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kRepeats; ++i) {
    stop.check();
    const auto start = std::chrono::steady_clock::now();
    const StepResult result =
        train_step(state, batch, rows_per_micro_batch, /*lr=*/1e-6, config.train.grad_clip);
    result.gradient_norm.item<double>();  // waits for the device
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    fastest = std::min(fastest, taken.count());
    if (taken.count() > kLongSeconds && i > 0) break;
  }
  return fastest;
}

StepCost cost_at_depth(const RunConfig& config, int64_t layers, int64_t rows,
                       const torch::Device& device, const StopFlag& stop) {
  ModelPlan plan = resolve_plan(config.model);
  plan.layers.resize(static_cast<size_t>(layers));
  RunConfig thin = config;
  thin.model.num_hidden_layers = layers;
  TrainState state = make_train_state(thin, std::move(plan), device, /*start=*/true);
  const double one = seconds_of_step(thin, state, random_batch(thin, rows), rows, stop);
  const double two = seconds_of_step(thin, state, random_batch(thin, 2 * rows), rows, stop);
  return {.step = std::max(0.0, 2 * one - two), .micro_batch = std::max(0.0, two - one)};
}

/// A cost that grows evenly with depth, at `layers`.
double at_depth(double one, double two, int64_t layers) {
  return one + std::max(0.0, two - one) * static_cast<double>(layers - 1);
}

}  // namespace

double measure_step(const RunConfig& config, const torch::Device& device, const StopFlag& stop) {
  const int64_t length = config.data.sequence_length, layers = config.model.num_hidden_layers;
  int64_t rows = config.train.rows_per_micro_batch();
  if (device.is_cpu()) rows = std::min(rows, (kTokens + length - 1) / length);
  const StepCost one = cost_at_depth(config, 1, rows, device, stop);
  const StepCost two = layers > 1 ? cost_at_depth(config, 2, rows, device, stop) : one;
  const double micro_batches =
      static_cast<double>(config.train.global_batch_size) / static_cast<double>(rows);
  return at_depth(one.step, two.step, layers) +
         at_depth(one.micro_batch, two.micro_batch, layers) * micro_batches;
}

}  // namespace fathom
