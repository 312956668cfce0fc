// A training step that is recorded once and replayed: one launch instead of thousands.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "fathom/config/run_config.h"
#include "fathom/kernels/cuda_library.h"
#include "fathom/train/step.h"

namespace fathom {

/// Steps like train_step, of one process: a few plain ones, after which LibTorch has chosen its
/// kernels, then a recorded one with each step's rows, counts, learning rate and number in the same
/// memory. A batch of another shape gets a plain step.
class RecordedStep {
 public:
  /// @param graph records; see StepGraph
  explicit RecordedStep(std::unique_ptr<StepGraph> graph) : graph_(std::move(graph)) {}

  /// @throws ConfigError if the step can't be recorded, with LibTorch's reason
  StepResult operator()(TrainState& state, const Batch& batch, int64_t rows_per_micro_batch,
                        double lr, double clip);

 private:
  bool fits(const StepInput& input) const;
  void record(TrainState& state, const StepInput& input, int64_t rows_per_micro_batch, double clip);

  std::unique_ptr<StepGraph> graph_;
  int64_t plain_steps_ = 0;
  std::optional<StepInput> input_;  // what the recorded step reads
  RopeTable rope_;                  // which longer inputs may replace in the model
  StepResult result_;               // and what it writes
};

/// A step of a run: train_step, or what `train.cuda_graph` asks for, which is done as a whole.
using StepFunction = std::function<StepResult(TrainState&, const Batch&, double lr)>;
/// @param stop outlives the function; null: nothing stops a step
StepFunction make_step_function(const RunConfig& config, const torch::Device& device,
                                Parallel* parallel = nullptr, const StopFlag* stop = nullptr);

}  // namespace fathom
