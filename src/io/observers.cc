#include "fathom/io/observers.h"

#include <cmath>
#include <cstdio>

#include "fathom/io/checkpoint_directory.h"
#include "fathom/train/device.h"

namespace fathom {
namespace {

template <typename... Args>
std::string format(const char* pattern, Args... args) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, args...);
  return text;
}

double number(const MetricValues& values, std::string_view name) {
  for (const auto& [key, value] : values) {
    if (key == name) return std::get<double>(value);
  }
  return NAN;
}

/// What people look at first comes first: a narrow terminal cuts the rest.
std::string details_of(const MetricValues& values) {
  const double speed = number(values, "perf/tokens_per_second");
  std::string details = format(speed < 100 ? "loss %.4f %.3g tok/s lr %.3g grad_norm %.3g"
                                           : "loss %.4f %.0f tok/s lr %.3g grad_norm %.3g",
                               number(values, "train/loss"), speed, number(values, "train/lr"),
                               number(values, "train/grad_norm"));
  if (const double mfu = number(values, "perf/mfu"); std::isfinite(mfu))
    details += format(" mfu %.1f%%", 100 * mfu);
  return details;
}

}  // namespace

RunOutput::RunOutput(const std::filesystem::path& out_dir, std::optional<ResumePoint> resume,
                     int64_t total_steps, bool tensorboard, const Log& log)
    : metrics_(out_dir / "metrics.jsonl", resume, log),
      progress_("train", static_cast<double>(total_steps),
                static_cast<double>(resume ? resume->step : 0), "step") {
  if (!tensorboard) return;
  tensorboard_.emplace(out_dir / "tb", resume ? std::optional(resume->step) : std::nullopt, log);
}

void RunOutput::record(std::string_view event, const TrainState& state,
                       const MetricValues& values) {
  metrics_.write(event, state.step, state.tokens, values);
  if (tensorboard_) tensorboard_->write(state.step, values);
}

MetricsObserver::MetricsObserver(RunOutput& output, const RunConfig& config, double flops_per_token)
    : output_(output), interval_(config.log.interval), flops_per_token_(flops_per_token) {}

void MetricsObserver::on_start(TrainState& state) {
  output_.progress().update(static_cast<double>(state.step), "starting");
}

MetricValues MetricsObserver::measure(const StepEvent& event) {
  const auto loss = event.result.loss.item<double>();
  const auto norm = event.result.gradient_norm.item<double>();
  const double seconds = seconds_ / static_cast<double>(steps_);
  const double tokens_per_second = static_cast<double>(event.batch_tokens) / seconds;
  const torch::Device device = event.state.model->device();
  MetricValues values = {{"train/loss", loss},
                         {"train/lr", event.lr},
                         {"train/grad_norm", norm},
                         {"perf/tokens_per_second", tokens_per_second},
                         {"perf/step_ms", seconds * 1000},
                         {"perf/peak_memory_bytes", peak_memory_bytes(device)}};
  const double peak = peak_flops(device, event.state.model->compute_dtype());
  if (peak > 0) values.emplace_back("perf/mfu", tokens_per_second * flops_per_token_ / peak);
  return values;
}

void MetricsObserver::on_step(const StepEvent& event) {
  const TrainState& state = event.state;
  const auto done = static_cast<double>(state.step);
  seconds_ += event.seconds;
  ++steps_;
  if (state.step % interval_ != 0) {
    output_.progress().update(done, details_);
    return;
  }
  const MetricValues values = measure(event);
  output_.record("train", state, values);
  details_ = details_of(values);
  output_.progress().report(done, details_);
  seconds_ = 0;
  steps_ = 0;
}

CheckpointObserver::CheckpointObserver(std::filesystem::path root, CheckpointContent content,
                                       const CheckpointConfig& config, RunOutput* output,
                                       Parallel& parallel)
    : root_(std::move(root)),
      content_(std::move(content)),
      config_(config),
      output_(output),
      parallel_(parallel) {}

void CheckpointObserver::on_start(TrainState& state) {
  if (state.step > 0) saved_step_ = state.step;
}

void CheckpointObserver::warn(const std::string& message) {
  output_->progress().line("warning: " + message);
}

void CheckpointObserver::save(TrainState& state, bool last) {
  const GatheredMoments moments(parallel_);
  parallel_.on_main("saving", [&] {
    write(state, last);
    return std::string();
  });
  saved_step_ = state.step;
}

void CheckpointObserver::write(TrainState& state, bool last) {
  const Progress::Pause pause = output_->progress().pause("saving");
  output_->metrics().sync();
  const Checkpoint saved =
      last ? write_by_all_means(state) : save_checkpoint(root_, state, content_);
  output_->record("checkpoint", state, {{"path", saved.directory.filename().string()}});
  if (!saved.doubt.empty())
    warn(cat("the checkpoint of step ", state.step,
             " is there, but a power cut may yet undo it: ", saved.doubt));
  // Beside a model alone, the older ones are what a run can go on from.
  if (!model_only_ && !parallel_.stop().requested()) remove_older(state.step);
}

/// The last checkpoint is what the run was for.
Checkpoint CheckpointObserver::write_by_all_means(TrainState& state) {
  std::string problem;
  const auto attempt = [&](CheckpointParts parts) -> std::optional<Checkpoint> {
    try {
      return save_checkpoint(root_, state, content_, parts);
    } catch (const DiskError& error) {
      problem = error.what();
      return std::nullopt;
    }
  };
  if (const auto saved = attempt(CheckpointParts::all)) return *saved;
  try {
    if (config_.keep_last > 1) keep_last(root_, config_.keep_last - 1, StopFlag());
  } catch (const DiskError&) {  // then there is no more room than before
  }
  // Once more in any case: not every error stays.
  if (const auto saved = attempt(CheckpointParts::all)) return *saved;
  const std::string why = problem;
  const auto saved = attempt(CheckpointParts::model_only);
  if (!saved) throw DiskError(problem);
  model_only_ = true;
  warn(cat(why, "; so ", saved->directory.string(),
           " holds the model alone: generate, eval and export read it, but no run can go on from "
           "it"));
  return *saved;
}

/// Whatever fails here, the checkpoint of `step` is saved.
void CheckpointObserver::remove_older(int64_t step) {
  try {
    keep_last(root_, config_.keep_last, parallel_.stop());
    remove_leftovers(root_, parallel_.stop());  // what could not be removed before
  } catch (const DiskError& error) {
    warn(cat("the checkpoint of step ", step, " is saved, but not all older ones are removed: ",
             error.what(), "; the next save tries again"));
  } catch (const Interrupted&) {  // the run is about to end
  }
}

void CheckpointObserver::on_step(const StepEvent& event) {
  const int64_t step = event.state.step;
  const bool asked = parallel_.stop().take_save_request();
  const bool due = config_.interval > 0 && step % config_.interval == 0;
  if (!asked && !due) return;
  try {
    save(event.state, /*last=*/false);
    if (asked && output_ != nullptr)
      output_->progress().line(cat("step ", step, ": saved, as a signal asked; the run goes on"));
  } catch (const DiskError& error) {
    if (output_ == nullptr) return;
    const std::string next = config_.interval == 0
                                 ? std::string("the end")
                                 : cat("step ", (step / config_.interval + 1) * config_.interval);
    warn(cat("no checkpoint of step ", step, ": ", error.what(),
             "; older ones are kept, and the next is tried at ", next));
  }
}

void CheckpointObserver::on_end(TrainState& state, bool) {
  if (saved_step_ != state.step) save(state, /*last=*/true);
}

}  // namespace fathom
