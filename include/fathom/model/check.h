// Measures that a built model is what its plan says: both public implementations of LayerNorm
// Scaling would have failed.
#pragma once

#include <string>
#include <vector>

#include "fathom/model/llama.h"

namespace fathom {

/// What was measured at one place.
struct Measurement {
  std::string where;  ///< "layer 3, attention" or a parameter's name
  std::string what;   ///< "norm factor", "std of the start values", ...
  double expected = 0;
  double measured = 0;
  bool agrees = false;
};

struct CheckOptions {
  bool start_values = true;  ///< weights were just started: compare their std with the plan's
  int64_t max_layers = 32;   ///< at most this many layers are measured, first and last among them
};

/// Feeds known activations through each block and compares what comes out with the plan: whether a
/// norm is present and where, its factor, the scales of skip and branch, that no block is the
/// identity; the final norm; the start values. Takes well under a second for 130m. The model isn't
/// changed.
/// @param expected the plan that the config asks for, resolved anew
std::vector<Measurement> check_model(Llama& model, const ModelPlan& expected,
                                     const CheckOptions& options = {});

/// The first measurement that disagrees, in words; "" when all agree.
std::string first_disagreement(const std::vector<Measurement>& measurements);

}  // namespace fathom
