// Which types a run computes in.
#pragma once

#include <torch/types.h>

#include "fathom/config/run_config.h"

namespace fathom {

/// Dtypes that train.precision stands for.
struct Precision {
  torch::ScalarType parameters;
  torch::ScalarType compute;
};

/// fp32: all float32; bf16_mixed: float32 parameters, bf16 compute; bf16: all bf16.
Precision precision_of(const TrainConfig& config);

}  // namespace fathom
