// The training loop: batch, step, events.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fathom/base/stop.h"
#include "fathom/config/run_config.h"
#include "fathom/data/batch.h"
#include "fathom/train/observer.h"
#include "fathom/train/parallel.h"
#include "fathom/train/state.h"

namespace fathom {

/// The rows of optimizer step `step` (from 0), those of all ranks: a pure function, so that a
/// resumed run and every rank see the same data.
using BatchSource = std::function<Batch(int64_t step)>;

/// A loss or gradient wasn't finite.
class Divergence : public TrainingError {
 public:
  Divergence(int64_t step, std::string place, const std::string& message)
      : TrainingError(message), step_(step), place_(std::move(place)) {}
  /// The first such step; the weights are those of the step before.
  int64_t step() const { return step_; }
  /// Where it began: "layer 3, attention", "the gradient of model.norm.weight".
  const std::string& place() const { return place_; }

 private:
  int64_t step_;
  std::string place_;
};

/// Trains from `state.step` to the config's last step, or to `stop_after` if that comes first.
/// @param observers not owned; they outlive the call
/// @param stop with several ranks: `parallel->stop()`
/// @param parallel the ranks of the run, which watch `state`; null: there is one
/// @throws Interrupted after a signal, once the observers' on_end has run (checkpoints are saved
/// there)
/// @throws Divergence when a loss or gradient wasn't finite: nothing is saved
void train(const RunConfig& config, TrainState& state, const BatchSource& batches,
           const std::vector<Observer*>& observers, const StopFlag& stop,
           int64_t stop_after = INT64_MAX, Parallel* parallel = nullptr);

/// Waits for the device. @throws Divergence if a step up to now went bad
void check_finite(const RunConfig& config, TrainState& state, const BatchSource& batches);

}  // namespace fathom
