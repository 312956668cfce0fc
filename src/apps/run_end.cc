#include "apps/run_end.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "fathom/base/internal/quote.h"
#include "fathom/base/number.h"
#include "fathom/run/checkpoint.h"
#include "fathom/train/schedule.h"

namespace fathom {

namespace fs = std::filesystem;

RunEnd::RunEnd(const Invocation& invocation, RunConfig config, fs::path out_dir, int64_t num_ranks)
    : invocation_(invocation),
      config_(std::move(config)),
      out_dir_(std::move(out_dir)),
      num_ranks_(num_ranks) {}

void RunEnd::on_start(TrainState& state) {
  step_ = state.step;
  first_bad_step_ = state.first_bad_step;
}

void RunEnd::on_step(const StepEvent& event) {
  step_ = event.state.step;
  loss_ = event.result.loss;
  trained_ = true;
}

/// The newest checkpoint, or the newest that a run can go on from.
std::optional<Checkpoint> RunEnd::newest(bool resumable) const {
  std::optional<Checkpoint> found;
  try {
    for (const Checkpoint& checkpoint : find_checkpoints(out_dir_ / "checkpoints")) {
      if (!resumable || why_not_resumable(checkpoint.directory).empty()) found = checkpoint;
    }
  } catch (const DiskError&) {  // the line is about something else
  }
  if (!found && !source().empty() && step_) return Checkpoint{source(), *step_};
  return found;
}

fs::path RunEnd::source() const {
  const std::string resume = invocation_.text("resume", "auto");
  return resume == "auto" || resume == "never" ? "" : resume;
}

/// "step 12 of 20, train/loss 3.2145".
std::string RunEnd::progress() const {
  std::string text = cat("step ", *step_, " of ", config_.total_steps());
  if (loss_.defined()) text += cat(", train/loss ", loss_text(loss_.item<float>()));
  return text;
}

std::string RunEnd::where() const {
  const std::optional<Checkpoint> checkpoint = newest(/*resumable=*/false);
  if (!checkpoint) return "nothing is saved";
  const std::string directory = checkpoint->directory.string();
  if (checkpoint->step != step_) return cat("the newest checkpoint is ", directory);
  return cat("the model is in ", directory);
}

/// The command at the end of a line.
std::string RunEnd::go_on(const std::string& overrides) const {
  const std::optional<Checkpoint> model = newest(false), start = newest(true);
  std::vector<std::string> dropped = {"stop-after"};
  if (!start || start->directory != source()) dropped.emplace_back("resume");
  std::string command = invocation_.command_line(dropped, overrides.substr(0, overrides.find('=')));
  if (!overrides.empty()) command += " " + overrides;
  const std::string launcher =
      num_ranks_ == 1 ? "" : cat(", as before in ", num_ranks_, " processes");
  if (start) return cat("; go on from step ", start->step, launcher, ": ", command);
  if (!model) return cat("; start again", launcher, ": ", command);
  return cat("; no run can go on from it, but a new one can start with its weights", launcher, ": ",
             command, " ", shell_quoted("train.init_from=" + model->directory.string()), " ",
             shell_quoted(cat("train.out_dir=", config_.train.out_dir, "-2")));
}

/// What more steps than the run's `step` do to the learning rate, and the command for them.
std::string RunEnd::train_longer(int64_t step) const {
  const int64_t total = std::max(step, config_.total_steps());
  const auto rate = [&](int64_t at, int64_t steps) {
    return learning_rate(config_.lr_scheduler, config_.optimizer.lr, at, steps);
  };
  std::string key = "train.max_steps", longer = cat(2 * total);
  if (config_.train.max_tokens) {
    key = "train.max_tokens";
    longer = cat(2 * total * config_.train.global_batch_size * config_.data.sequence_length);
  } else if (config_.train.max_epochs) {
    key = "train.max_epochs";
    longer = cat(2 * *config_.train.max_epochs * static_cast<double>(total) /
                 static_cast<double>(config_.total_steps()));
  }
  std::string text = cat("; to train on, raise ", key);
  const bool asked_for = total == config_.total_steps();  // else its last rate isn't known here
  if (asked_for && rate(total + 1, 2 * total) != rate(total, total))
    text += cat(", which gives step ", total + 1, " the lr ", rate(total + 1, 2 * total),
                " where step ", total, " had ", rate(total, total), " (", config_.lr_scheduler.type,
                " runs over all steps)");
  return text + go_on(cat(key, "=", longer));
}

std::string RunEnd::completed() const {
  if (*step_ < config_.total_steps())
    return cat("stopped after ", progress(), " (--stop-after); ", where(), go_on(""));
  if (!trained_) {
    const bool resumable = newest(true) && newest(true)->step == step_;
    return cat("nothing is left to train: the run finished at ", progress(),
               *step_ > config_.total_steps() ? ", past the end that is asked for; " : "; ",
               where(), resumable ? train_longer(*step_) : go_on(""));
  }
  return cat("finished: ", progress(), "; ", where(), "; try it: ", invocation_.program(),
             " generate ", shell_quoted(config_.train.out_dir), " --prompt 'Once upon a time'");
}

std::string RunEnd::interrupted(const Interrupted& stopped) const {
  if (!step_) return cat(stopped.what(), " before training began", go_on(""));
  return cat(stopped.what(), " at ", progress(), "; ", where(), go_on(""));
}

std::string RunEnd::failed(const Error& error) const {
  if (!step_) return error.what();
  const bool diverged = first_bad_step_.defined() && first_bad_step_.item<int64_t>() != 0;
  return cat(error.what(), "; ", where(),
             go_on(diverged ? cat("optimizer.lr=", config_.optimizer.lr / 2) : ""));
}

}  // namespace fathom
