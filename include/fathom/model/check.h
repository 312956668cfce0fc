// Measures that a built model is what its plan says: both public implementations of LayerNorm
// Scaling would have failed.
#pragma once

#include <string>
#include <vector>

#include "fathom/model/llama.h"

namespace fathom {

/// What was measured at one place.
struct CheckedValue {
  std::string where;  ///< "layer 3, attention" or a parameter's name
  std::string what;  ///< the plan's field: "norm_scale", "sum_norm"; "std of the start values", ...
  std::string expected;
  std::string measured;
  bool agrees = false;
};

struct CheckOptions {
  bool start_values = true;  ///< weights were just started: compare them with the plan's starts
  int64_t max_layers = 32;   ///< at most this many layers are measured, first and last among them
};

/// Feeds known activations through each block and compares what comes out with the plan's formula:
/// whether a norm is present, of which kind and where, its factor, the scales, gains and gates of
/// skip and branch, that no block is the identity; the norms of embedding and head; the start
/// values. Takes well under a second for 130m. Gains are moved while it measures, so that each
/// shows, and put back: the model isn't changed.
/// @param expected the plan that the config asks for, resolved anew
/// @throws std::invalid_argument where the plan has another number of layers
std::vector<CheckedValue> check_model(Llama& model, const ModelPlan& expected,
                                      const CheckOptions& options = {});

/// The first measurement that disagrees, in words; "" when all agree.
std::string first_disagreement(const std::vector<CheckedValue>& measurements);

}  // namespace fathom
