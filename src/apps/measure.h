// How fast a run would train here, from a few steps of a thinner model.
#pragma once

#include <torch/types.h>

#include "fathom/base/stop.h"
#include "fathom/config/run_config.h"

namespace fathom {

/// Seconds of one of the run's steps, without evaluation and saving: steps of its first one and two
/// layers are timed with one and two micro-batches of a few rows, and what a layer and a row add is
/// added up for all of them.
/// @throws Interrupted
double measure_step(const RunConfig& config, const torch::Device& device, const StopFlag& stop);

}  // namespace fathom
