#include "fathom/run/observers.h"

#include <array>

#include "run/observers/checkpoint.h"
#include "run/observers/evaluation.h"
#include "run/observers/probe.h"
#include "run/observers/sample.h"
#include "run/observers/training.h"

namespace fathom {
namespace {

// Checkpoints come last: they hold what the others did at their step.
constexpr std::array kObservers = {
    ObserverInfo{"train", "loss, learning rate and speed, every log.interval steps",
                 &observer::training},
    ObserverInfo{"eval", "the loss on data.validation", &observer::evaluation},
    ObserverInfo{"probe", "what each layer does, on data.validation", &observer::probes},
    ObserverInfo{"sample", "text that goes on from sample.prompts", &observer::sample},
    ObserverInfo{"checkpoint", "what a resume and other programs need", &observer::checkpoint},
};

}  // namespace

std::span<const ObserverInfo> observers() { return kObservers; }

void PeriodicObserver::work_if_due(TrainState& state) {
  const bool at_an_end = (state.step == 0 && at_start_) || state.step == total_steps_;
  const bool due = at_an_end || (state.step > 0 && reads(state.step));
  // After a resume, a step may have been saved before this was done.
  if (!due || step_ == state.step) return;
  work(state);
  step_ = state.step;
}

}  // namespace fathom
