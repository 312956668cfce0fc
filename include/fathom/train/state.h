// Everything that a training run changes.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "fathom/config/run_config.h"
#include "fathom/model/llama.h"
#include "fathom/train/optimizer.h"

namespace fathom {

/// Model, optimizer and counters: what a checkpoint holds. The data order and the learning rate are
/// functions of `step`.
struct TrainState {
  Llama model;
  Optimizer optimizer;
  int64_t step = 0;            ///< optimizer steps done
  int64_t tokens = 0;          ///< tokens seen that weren't padding
  bool newly_started = false;  ///< weights are start values that `train` has not profiled yet
  /// int64 scalar on the device: the first step whose loss or gradient wasn't finite, 0 while there
  /// is none. From that step on the weights stay as they were before it.
  torch::Tensor first_bad_step;
};

/// Builds a model and its optimizer.
/// @param start draws start values; false leaves the weights to be loaded
/// @param optimizer_shard the ranks that share the optimizer's state (ZeRO-1)
TrainState make_train_state(const RunConfig& config, ModelPlan plan, torch::Device device,
                            bool start, Shard optimizer_shard = {});

}  // namespace fathom
