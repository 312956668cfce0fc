// The training loop: batch, step, events.
#pragma once

#include <functional>
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

/// Trains from `state.step` to the config's last step, or to `stop_after` if that comes first.
/// @param observers not owned; they outlive the call
/// @param stop with several ranks: `parallel->stop()`
/// @param parallel the ranks of the run, which watch `state`; null: there is one
/// @throws Interrupted after a signal, once the observers' on_end has run (checkpoints are saved
/// there)
/// @throws TrainingError when a loss or gradient wasn't finite: names the step and the first layer
/// that made it so;
///   the weights are those of the step before, and nothing is saved
void train(const RunConfig& config, TrainState& state, const BatchSource& batches,
           const std::vector<Observer*>& observers, const StopFlag& stop,
           int64_t stop_after = INT64_MAX, Parallel* parallel = nullptr);

/// Waits for the device. @throws TrainingError as `train` does, if a step up to now went bad
void check_finite(const RunConfig& config, TrainState& state, const BatchSource& batches);

}  // namespace fathom
