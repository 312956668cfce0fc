// What a run starts from, and what makes it the run that it is.
#pragma once

#include "fathom/base/log.h"
#include "fathom/config/run_config.h"
#include "fathom/run/checkpoint.h"
#include "fathom/run/run_data.h"
#include "fathom/train/state.h"

namespace fathom {

/// The identity of a run, for its checkpoints.
/// @param num_ranks that the order of additions depends on
RunIdentity identity_of(const RunConfig& config, const Choices& choices, const RunData& data,
                        const torch::Device& device, int64_t num_ranks = 1);

/// The state that a new run trains from: drawn, or with the weights of train.init_from.
/// @throws CheckpointError if they were trained with another plan, or as `load_weights` does
TrainState start_state(const RunConfig& config, const torch::Device& device, const Choices& choices,
                       const Log& log, Shard optimizer_shard = {});

/// What a checkpoint of a run holds beside its state.
CheckpointContent checkpoint_content(const RunConfig& config, const RunData& data,
                                     const RunIdentity& identity, const Choices& choices);

}  // namespace fathom
