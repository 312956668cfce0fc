#include "run/observers/checkpoint.h"

#include "fathom/base/error.h"
#include "fathom/io/checkpoint_directory.h"

namespace fathom::observer {
namespace {

struct CheckpointRecord : Record {
  std::string path;  ///< of the directory, in OUT/checkpoints

  std::string_view event() const override { return "checkpoint"; }
  MetricValues values() const override { return {{"path", path}}; }
};

/// Saves every `interval` steps, when a signal asks for it, and at the end, and removes older
/// checkpoints. Every rank has one: rank 0 writes, from what the others give it. A full disk during
/// the run costs that checkpoint only: the run goes on and warns. At the end an older one makes
/// room, then the optimizer's state is left out; where the model alone can't be written, it is an
/// error.
class Checkpoints : public Observer {
 public:
  explicit Checkpoints(const RunContext& run) : run_(run), config_(run.config.checkpoint) {}

  std::string name() const override { return "checkpoint"; }
  bool reads(int64_t step) const override {
    return config_.interval > 0 && step % config_.interval == 0;
  }

  void on_start(TrainState& state) override {
    if (state.step > 0) saved_step_ = state.step;
  }

  void on_step(const StepEvent& event) override {
    const int64_t step = event.state.step;
    const bool asked = run_.parallel.stop().take_save_request();
    if (!asked && !reads(step)) return;
    try {
      save(event.state, /*last=*/false);
      if (asked && run_.writes())
        run_.progress->line(cat("step ", step, ": saved, as a signal asked; the run goes on"));
    } catch (const DiskError& error) {
      if (run_.writes()) warn_of_gap(step, error);
    }
  }

  void on_end(TrainState& state, bool) override {
    if (saved_step_ != state.step) save(state, /*last=*/true);
  }

 private:
  void save(TrainState& state, bool last) {
    const GatheredMoments moments(run_.parallel);
    run_.parallel.on_main("saving", [&] {
      write(state, last);
      return std::string();
    });
    saved_step_ = state.step;
  }

  void write(TrainState& state, bool last) {
    const Progress::Pause pause = run_.progress->pause("saving");
    run_.recorder.sync();
    const Checkpoint saved = last ? write_by_all_means(state) : write_once(state);
    CheckpointRecord record;
    record.path = saved.directory.filename().string();
    run_.record(record, state);
    if (!saved.doubt.empty())
      warn(cat("the checkpoint of step ", state.step,
               " is there, but a power cut may yet undo it: ", saved.doubt));
    // Beside a model alone, the older ones are what a run can go on from.
    if (!model_only_ && !run_.parallel.stop().requested()) remove_older(state.step);
  }

  Checkpoint write_once(TrainState& state, CheckpointParts parts = CheckpointParts::all) {
    return save_checkpoint(run_.checkpoints, state, run_.content, states_of(run_.all), parts);
  }

  /// The last checkpoint is what the run was for.
  Checkpoint write_by_all_means(TrainState& state) {
    std::string problem;
    const auto attempt = [&](CheckpointParts parts) -> std::optional<Checkpoint> {
      try {
        return write_once(state, parts);
      } catch (const DiskError& error) {
        problem = error.what();
        return std::nullopt;
      }
    };
    if (const auto saved = attempt(CheckpointParts::all)) return *saved;
    try {
      if (config_.keep_last > 1) keep_last(run_.checkpoints, config_.keep_last - 1, StopFlag());
    } catch (const DiskError&) {  // then there is no more room than before
    }
    // Once more in any case: not every error stays.
    if (const auto saved = attempt(CheckpointParts::all)) return *saved;
    const std::string why = problem;
    const auto saved = attempt(CheckpointParts::model_only);
    if (!saved) throw DiskError(problem);
    model_only_ = true;
    warn(cat(why, "; so ", saved->directory.string(),
             " holds the model alone: generate, eval and export read it, but no run can go on "
             "from it"));
    return *saved;
  }

  /// Whatever fails here, the checkpoint of `step` is saved.
  void remove_older(int64_t step) {
    try {
      keep_last(run_.checkpoints, config_.keep_last, run_.parallel.stop());
      remove_leftovers(run_.checkpoints, run_.parallel.stop());  // what couldn't be removed before
    } catch (const DiskError& error) {
      warn(cat("the checkpoint of step ", step, " is saved, but not all older ones are removed: ",
               error.what(), "; the next save tries again"));
    } catch (const Interrupted&) {  // the run is about to end
    }
  }

  void warn_of_gap(int64_t step, const DiskError& error) {
    const std::string next = config_.interval == 0
                                 ? std::string("the end")
                                 : cat("step ", (step / config_.interval + 1) * config_.interval);
    warn(cat("no checkpoint of step ", step, ": ", error.what(),
             "; older ones are kept, and the next is tried at ", next));
  }

  void warn(const std::string& message) { run_.progress->line("warning: " + message); }

  const RunContext& run_;
  const CheckpointConfig& config_;
  int64_t saved_step_ = -1;
  bool model_only_ = false;  // what was saved last
};

}  // namespace

Observers checkpoint(const RunContext& run) {
  Observers made;
  made.push_back(std::make_unique<Checkpoints>(run));
  return made;
}

}  // namespace fathom::observer
