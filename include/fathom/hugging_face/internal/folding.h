// Scales and gains of a placement that go into weights, so that an architecture of transformers
// computes the same.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fathom/config/model_config.h"
#include "fathom/hugging_face/hugging_face.h"
#include "fathom/model/placement.h"

namespace fathom {

/// Which architectures of transformers compute what a plan says, once norm scales are folded.
ModelForm form_of(const ModelPlan& plan);

/// What a tensor is multiplied by: factor gain base^-exponent.
struct Fold {
  double factor = 1.0;
  std::string gain = {};      ///< a parameter of the model: one number, or one for each row
  std::string exponent = {};  ///< a parameter of the model: one number
  double base = 1.0;
};

/// The same function with less in the plan and more in the weights.
struct Folding {
  ModelPlan plan;
  std::map<std::string, Fold> folds = {};  ///< by the name of the tensor
  std::vector<std::string> absorbed = {};  ///< parameters that are in others now
};

/// Norm scales of a plan that plain Llama computes once they are in the gains of its norms; empty
/// for any other plan. Checkpoints hold them so, and a run that starts from one divides by them.
std::map<std::string, double> folded_factors(const ModelPlan& plan);

/// All that can be folded: what multiplies a sub-layer's input goes into the gain of its norm, what
/// multiplies its output into the gain of the norm there; where there is no norm, into the matrices
/// beside it. A scale before an RMSNorm can't (it would change eps), nor one of skip or sum.
Folding fold(const ModelPlan& plan, const ModelConfig& config);

}  // namespace fathom
