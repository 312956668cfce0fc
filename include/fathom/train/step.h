// One optimizer step. Nothing in it waits for the device.
#pragma once

#include <torch/types.h>

#include "fathom/data/batch.h"
#include "fathom/train/parallel.h"
#include "fathom/train/state.h"

namespace fathom {

/// The rows of a batch on the device. Shape suffixes: B rows, T tokens of a row.
struct BatchTensors {
  torch::Tensor input_BT;       ///< int64
  torch::Tensor target_BT;      ///< int64
  torch::Tensor document_BT{};  ///< int32, or undefined

  BatchTensors rows(int64_t begin, int64_t count) const;
};

/// Copies a batch to the device; to a GPU through pinned memory, without waiting.
BatchTensors to_device(const Batch& batch, const torch::Device& device);

/// All that changes from step to step, on the device, so that a recorded step reads it anew.
struct StepInput {
  BatchTensors batch;
  /// The loss is multiplied by both: one over the targets of the global batch is either a number,
  /// which kernels take as they go, or a float32 scalar (else undefined).
  double host_scale = 1;
  torch::Tensor scale{};
  torch::Tensor lr;    ///< as Optimizer::step takes it
  torch::Tensor step;  ///< int64 scalar, from 1
};

/// Copies what a step reads to the device, without waiting.
/// @param batch this rank's rows, with the counts of the global batch
/// @param scale_on_device whether one over the targets is a scalar there, not a number
StepInput make_step_input(const Batch& batch, double lr, int64_t step, const torch::Device& device,
                          bool scale_on_device);

/// What a step found, as scalars on the device: reading one waits for the step.
struct StepResult {
  torch::Tensor loss;           ///< mean over the non-ignored targets of the global batch
  torch::Tensor gradient_norm;  ///< before clipping
};

/// Adds the gradients of a batch to the parameters' `.grad`: of the mean loss over `targets`, in
/// micro-batches.
/// @param targets non-ignored targets of the global batch
/// @param parallel adds up gradients and loss over its ranks, during the last backward pass; null:
/// nothing is shared
/// @returns the mean loss (of these rows' share, or of all ranks' rows)
torch::Tensor accumulate_gradients(Llama& model, const BatchTensors& batch, int64_t targets,
                                   int64_t rows_per_micro_batch, Parallel* parallel = nullptr);

/// The part of a step that runs on the device: gradients, clipping and update. It reads nothing on
/// the host but the shapes, and leaves the counters as they are.
/// @param stop looked at between micro-batches; null: the step is done whatever happens
/// @throws Interrupted; weights, optimizer and counters are then as they were before the step
StepResult run_step(TrainState& state, const StepInput& input, int64_t rows_per_micro_batch,
                    double clip, Parallel* parallel = nullptr, const StopFlag* stop = nullptr);

/// Counts a step that was run.
void count_step(TrainState& state, const Batch& batch);

/// Gradients, clipping and update of step `state.step + 1`, and the counters. A non-finite loss or
/// gradient sets `first_bad_step` and leaves the weights of before.
/// @param lr learning rate
/// @param batch of all ranks
/// @param clip largest gradient norm; 0 = no clipping
/// @param parallel the ranks that share the batch; null: there is one
/// @param stop as of run_step; with several ranks it is theirs
/// @throws Interrupted as run_step does
StepResult train_step(TrainState& state, const Batch& batch, int64_t rows_per_micro_batch,
                      double lr, double clip, Parallel* parallel = nullptr,
                      const StopFlag* stop = nullptr);

}  // namespace fathom
