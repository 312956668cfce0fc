#include "fathom/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "fathom/base/ignored_target.h"
#include "fathom/model/profile.h"
#include "fathom/train/recorded_step.h"
#include "fathom/train/schedule.h"

namespace fathom {
namespace {

bool is_finite(const torch::Tensor& tensor) { return torch::isfinite(tensor).all().item<bool>(); }

/// The first layer whose activations aren't finite, in words; "" when all are.
std::string first_bad_activation(Llama& model, const BatchTensors& batch) {
  const torch::NoGradGuard no_grad;
  std::vector<BlockTrace> trace;
  const torch::Tensor hidden =
      model->hidden(batch.input_BT, {.document_BT = batch.document_BT, .trace = &trace});
  for (size_t i = 0; i < trace.size(); ++i) {
    if (!is_finite(trace[i].attention.input)) return "the token embeddings";
    if (!is_finite(trace[i].attention.output)) return cat("layer ", i + 1, ", attention");
    if (!is_finite(trace[i].feed_forward.output)) return cat("layer ", i + 1, ", feed-forward");
  }
  return is_finite(hidden) ? "" : "the final norm";
}

/// The first parameter, on the way back from the loss, whose gradient isn't finite.
std::string first_bad_gradient(const Llama& model) {
  std::string name = "the head";
  for (const auto& entry : model->named_parameters()) {
    if (entry.value().grad().defined() && !is_finite(entry.value().grad())) name = entry.key();
  }
  return "the gradient of " + name;
}

/// Runs the bad step's rows again (weights and data are what they were) and finds where it began.
std::string find_culprit(const RunConfig& config, TrainState& state, const Batch& batch) {
  const int64_t rows = config.train.rows_per_micro_batch();
  const BatchTensors tensors = to_device(batch, state.model->device());
  for (int64_t begin = 0; begin < batch.rows; begin += rows) {
    std::string where =
        first_bad_activation(state.model, tensors.rows(begin, std::min(rows, batch.rows - begin)));
    if (!where.empty()) return where;
  }
  for (torch::Tensor& parameter : state.model->parameters()) parameter.mutable_grad().reset();
  const torch::Tensor loss = accumulate_gradients(state.model, tensors, batch.targets, rows);
  return is_finite(loss) ? first_bad_gradient(state.model) : "the loss";
}

/// Rows that a profiling pass looks at: enough tokens for a variance, and the same for any
/// micro-batch.
constexpr int64_t kProfiledRows = 16;

/// Gains that start by profiling, from the run's first rows.
void profile_at_start(TrainState& state, const BatchSource& batches) {
  if (!std::exchange(state.newly_started, false) || !needs_profile(state.model->plan())) return;
  const Batch batch = batches(0);
  const BatchTensors rows =
      to_device(batch, state.model->device()).rows(0, std::min(kProfiledRows, batch.rows));
  profile_skips(state.model, rows.input_BT, rows.target_BT.ne(kIgnoredTarget));
}

void train_until(const RunConfig& config, TrainState& state, const BatchSource& batches,
                 const std::vector<Observer*>& observers, const StopFlag& stop, int64_t last_step,
                 Parallel* parallel) {
  const int64_t total = config.total_steps();
  profile_at_start(state, batches);
  const StepFunction step = make_step_function(config, state.model->device(), parallel, &stop);
  for (Observer* observer : observers) observer->on_start(state);
  while (state.step < last_step) {
    if (parallel != nullptr) parallel->begin_step(state.step + 1);
    stop.check();
    const auto start = std::chrono::steady_clock::now();
    const Batch batch = batches(state.step);
    const double lr =
        learning_rate(config.lr_scheduler, config.optimizer.lr, state.step + 1, total);
    const StepResult result = step(state, batch, lr);
    const bool is_read =
        std::any_of(observers.begin(), observers.end(),
                    [&](const Observer* observer) { return observer->reads(state.step); });
    if (is_read) check_finite(config, state, batches);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    const StepEvent event{state, result, lr, taken.count(),
                          config.train.global_batch_size * config.data.sequence_length};
    for (Observer* observer : observers) observer->on_step(event);
  }
  check_finite(config, state, batches);
}

}  // namespace

void check_finite(const RunConfig& config, TrainState& state, const BatchSource& batches) {
  const auto bad_step = state.first_bad_step.item<int64_t>();
  if (bad_step == 0) return;
  const std::string culprit = find_culprit(config, state, batches(bad_step - 1));
  throw Divergence(bad_step, culprit,
                   cat("step ", bad_step, ": the loss or gradient isn't finite, first in ", culprit,
                       "; training stopped with the weights of step ", bad_step - 1,
                       ". What helps: a lower optimizer.lr (now ", config.optimizer.lr,
                       "), a longer warm-up, or train.grad_clip=1"));
}

void train(const RunConfig& config, TrainState& state, const BatchSource& batches,
           const std::vector<Observer*>& observers, const StopFlag& stop, int64_t stop_after,
           Parallel* parallel) {
  const int64_t total = config.total_steps();
  const auto end = [&](bool complete) {
    for (Observer* observer : observers) observer->on_end(state, complete);
  };
  try {
    train_until(config, state, batches, observers, stop, std::min(total, stop_after), parallel);
    end(/*complete=*/state.step >= total);
  } catch (const Interrupted&) {  // also in the last evaluation: there is a model to save
    check_finite(config, state, batches);
    end(/*complete=*/false);
    throw;
  }
}

}  // namespace fathom
