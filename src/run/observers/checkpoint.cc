#include "run/observers/checkpoint.h"

#include "fathom/base/error.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/io/disk_room.h"

namespace fathom::observer {
namespace {

struct CheckpointRecord : RunRecord {
  std::string path;  ///< of the directory, in OUT/checkpoints

  std::string_view event() const override { return "checkpoint"; }
  MetricValues values() const override { return {{"path", path}}; }
};

/// Saves every `interval` steps, when a signal asks for it, and at the end, and removes older
/// checkpoints. Every rank has one: rank 0 writes, from what the others give it. A full disk during
/// the run costs that checkpoint only: the run goes on and warns. At the end an older one makes
/// room, where that is enough, or else the optimizer's state is left out; where the model alone
/// can't be written, it is an error.
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
    const GatheredState gathered(run_.parallel);
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
    make_room(config_.keep_last - 1);
    // Once more in any case: not every error stays.
    if (const auto saved = attempt(CheckpointParts::all)) return *saved;
    const std::string why = problem;
    auto saved = attempt(CheckpointParts::model_only);
    if (!saved) {
      make_room(1);
      saved = attempt(CheckpointParts::model_only);
    }
    if (!saved) throw DiskError(problem);
    // With the model safe, older ones may go where the whole then has room.
    if (bytes_of_older(state.step) > 0 &&
        free_bytes(run_.checkpoints) + bytes_of_older(state.step) >
            checkpoint_bytes(run_.config, state.model->plan()).total()) {
      make_room(1);
      if (const auto whole = attempt(CheckpointParts::all)) return *whole;
    }
    model_only_ = true;
    warn(cat(why, "; so ", saved->directory.string(),
             " holds the model alone: generate, eval and export read it, but no run can go on "
             "from it"));
    return *saved;
  }

  /// Removes all but the newest `count` checkpoints, of which at least one stays.
  void make_room(int64_t count) const {
    try {
      keep_last(run_.checkpoints, std::max<int64_t>(count, 1), StopFlag());
    } catch (const DiskError&) {  // then there is no more room than before
    }
  }

  uint64_t bytes_of_older(int64_t step) const {
    uint64_t bytes = 0;
    std::error_code ignored;
    for (const Checkpoint& checkpoint : find_checkpoints(run_.checkpoints)) {
      if (checkpoint.step == step) continue;
      for (const auto& file : std::filesystem::directory_iterator(checkpoint.directory, ignored))
        bytes += file.file_size(ignored);
    }
    return bytes;
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
    const int64_t next_step =
        (step / std::max<int64_t>(config_.interval, 1) + 1) * config_.interval;
    const bool at_end = config_.interval == 0 || next_step >= run_.config.total_steps();
    const std::string next = at_end ? "the end" : cat("step ", next_step);
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
