// How a run ended, in its last line: step, loss, where the model lies, and the command that goes
// on.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "apps/cli.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/train/observer.h"

namespace fathom {

/// Notes how far a run comes. What it says has one line, and the command at its end can be given to
/// a shell as it is.
class RunEnd : public Observer {
 public:
  /// @param invocation outlives it
  /// @param num_ranks processes of the run
  RunEnd(const Invocation& invocation, RunConfig config, std::filesystem::path out_dir,
         int64_t num_ranks);
  /// The config again, once the data says how many steps there are.
  void set_config(const RunConfig& config) { config_ = config; }

  std::string name() const override { return "end"; }
  void on_start(TrainState& state) override;
  void on_step(const StepEvent& event) override;
  /// The step of a run that is found to be complete before it is started.
  void set_complete(int64_t step) { step_ = step; }

  /// All steps are done, now or before, or those up to --stop-after.
  std::string completed() const;
  std::string interrupted(const Interrupted& stopped) const;
  /// An error with what is left of the run.
  std::string failed(const Error& error) const;

 private:
  std::string progress() const;
  /// Where --resume says that the run goes on from a directory: that.
  std::filesystem::path source() const;
  std::string where() const;
  std::string go_on(const std::string& overrides) const;
  std::string train_longer(int64_t step) const;
  std::optional<Checkpoint> newest(bool resumable) const;

  const Invocation& invocation_;
  RunConfig config_;
  std::filesystem::path out_dir_;
  int64_t num_ranks_;
  std::optional<int64_t> step_;  // nothing before training begins
  bool trained_ = false;
  torch::Tensor loss_;  // of the last step
  torch::Tensor first_bad_step_;
};

}  // namespace fathom
