// What happens beside training (metrics, evaluation, probes, samples, checkpoints) observes the
// loop; the loop knows none of it.
#pragma once

#include <string>

#include "fathom/base/json.h"
#include "fathom/train/state.h"
#include "fathom/train/step.h"

namespace fathom {

/// A step that was just done.
struct StepEvent {
  TrainState& state;
  const StepResult& result;
  double lr = 0;
  double seconds = 0;        ///< that the step took this process, with the wait for its data
  int64_t batch_tokens = 0;  ///< positions of the global batch, padding included
};

/// Called by the trainer in the order in which observers were given. What throws ends the run.
class Observer {
 public:
  virtual ~Observer() = default;
  /// By which checkpoints keep its state; no other observer of the run has it.
  virtual std::string name() const = 0;
  /// Whether it reads or saves after `step` what the device computed: at these steps alone the host
  /// waits for the device, and learns whether the loss was finite.
  virtual bool reads(int64_t /*step*/) const { return false; }
  /// Before the first step of this process; `state.step` is 0 or where a checkpoint was resumed.
  virtual void on_start(TrainState&) {}
  virtual void on_step(const StepEvent&) {}
  /// After the last step, or when a signal asked to stop. @param complete all steps of the run were
  /// done
  virtual void on_end(TrainState&, bool /*complete*/) {}
  /// What a resumed run must know of it; null: nothing.
  virtual Json state() const { return nullptr; }
  /// Takes what `state` gave, before on_start. @throws nlohmann::json::exception for anything else
  virtual void restore(const Json& /*saved*/) {}
};

}  // namespace fathom
