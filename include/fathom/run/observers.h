// What a run does beside training: a row of a table for each kind of observer. A new kind is one
// file in src/run/observers and its row.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "fathom/base/progress.h"
#include "fathom/config/run_config.h"
#include "fathom/run/checkpoint.h"
#include "fathom/run/record.h"
#include "fathom/run/run_data.h"
#include "fathom/train/observer.h"
#include "fathom/train/parallel.h"

namespace fathom {

using Observers = std::vector<std::unique_ptr<Observer>>;

/// What observers work with; all of it outlives them.
struct RunContext {
  const RunConfig& config;
  const RunData& data;
  const std::filesystem::path& checkpoints;  ///< OUT/checkpoints
  const CheckpointContent& content;          ///< of a checkpoint, beside the state
  const std::vector<Observer*>& all;         ///< observers of the run, whose states are saved
  const Recorder& recorder;
  Progress* progress;  ///< null on ranks that don't write
  Parallel& parallel;

  bool writes() const { return progress != nullptr; }
  void record(const RunRecord& record, const TrainState& state) const {
    recorder.record(record, {state.step, state.tokens});
  }
};

/// A row of the table.
struct ObserverInfo {
  std::string_view name;
  std::string_view meaning;
  Observers (*make)(const RunContext& run);  ///< as the config asks; all ranks make the same
};

/// In the order in which they are called.
std::span<const ObserverInfo> observers();

/// Works before the first step, every `interval` steps and after the last: once at each, whatever
/// signals, kills and resumes come between.
class PeriodicObserver : public Observer {
 public:
  /// @param interval 0: only at both ends
  /// @param at_start whether it works before the first step
  PeriodicObserver(std::string name, int64_t interval, int64_t total_steps, bool at_start = true)
      : name_(std::move(name)),
        interval_(interval),
        total_steps_(total_steps),
        at_start_(at_start) {}

  std::string name() const override { return name_; }
  bool reads(int64_t step) const override { return interval_ > 0 && step % interval_ == 0; }
  void on_start(TrainState& state) override { work_if_due(state); }
  void on_step(const StepEvent& event) override { work_if_due(event.state); }
  Json state() const override { return {{"step", step_}}; }
  void restore(const Json& saved) override { step_ = saved.at("step").get<int64_t>(); }

 private:
  virtual void work(TrainState& state) = 0;
  void work_if_due(TrainState& state);

  std::string name_;
  int64_t interval_, total_steps_;
  bool at_start_;
  int64_t step_ = -1;  // at which it last worked
};

}  // namespace fathom
