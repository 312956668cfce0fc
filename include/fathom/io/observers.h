// Observers of training that write: metrics and checkpoints.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "fathom/base/log.h"
#include "fathom/base/progress.h"
#include "fathom/io/checkpoint.h"
#include "fathom/io/metrics.h"
#include "fathom/io/tensorboard.h"
#include "fathom/train/observer.h"
#include "fathom/train/parallel.h"

namespace fathom {

/// Where a run's numbers go: metrics.jsonl, TensorBoard, and people.
class RunOutput {
 public:
  /// @param out_dir the run's directory
  /// @param resume_step the step that the run goes on from; nothing for a new run
  /// @param total_steps for the progress bar
  RunOutput(const std::filesystem::path& out_dir, std::optional<ResumePoint> resume,
            int64_t total_steps, bool tensorboard, const Log& log);

  /// Writes a record to metrics.jsonl and its numbers to TensorBoard.
  void record(std::string_view event, const TrainState& state, const MetricValues& values);
  Progress& progress() { return progress_; }
  MetricsWriter& metrics() { return metrics_; }

 private:
  MetricsWriter metrics_;
  std::optional<TensorBoardWriter> tensorboard_;
  Progress progress_;
};

/// Every `interval` steps a "train" record and a line; the progress bar at every step. Reading the
/// loss waits for the device, so it happens at those steps only.
class MetricsObserver : public Observer {
 public:
  /// @param flops_per_token of training, for MFU
  MetricsObserver(RunOutput& output, const RunConfig& config, double flops_per_token);
  void on_start(TrainState& state) override;
  void on_step(const StepEvent& event) override;

 private:
  MetricValues measure(const StepEvent& event);

  RunOutput& output_;
  int64_t interval_;
  double flops_per_token_;
  std::string details_;
  double seconds_ = 0;  // of the steps since the last record: evaluations don't count
  int64_t steps_ = 0;
};

/// Saves every `interval` steps, when a signal asks for it, and at the end, and removes older
/// checkpoints. Every rank has one: rank 0 writes, from what the others give it. A full disk during
/// the run costs that checkpoint only: the run goes on and warns. At the end an older one makes
/// room, then the optimizer's state is left out; where the model alone can't be written, it is an
/// error.
class CheckpointObserver : public Observer {
 public:
  /// @param root OUT/checkpoints
  /// @param output null on ranks that don't write
  CheckpointObserver(std::filesystem::path root, CheckpointContent content,
                     const CheckpointConfig& config, RunOutput* output, Parallel& parallel);
  void on_start(TrainState& state) override;
  void on_step(const StepEvent& event) override;
  void on_end(TrainState& state, bool complete) override;

 private:
  void save(TrainState& state, bool last);
  void write(TrainState& state, bool last);
  Checkpoint write_by_all_means(TrainState& state);
  void remove_older(int64_t step);
  void warn(const std::string& message);

  std::filesystem::path root_;
  CheckpointContent content_;
  CheckpointConfig config_;
  RunOutput* output_;
  Parallel& parallel_;
  int64_t saved_step_ = -1;
  bool model_only_ = false;  // what was saved last
};

}  // namespace fathom
