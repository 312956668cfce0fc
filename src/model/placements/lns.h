// LayerNorm Scaling: x + F(norm(x) / sqrt(layer)), and the positions and exponents of the paper's
// ablation.
#pragma once

#include <cmath>

#include "fathom/base/error.h"
#include "fathom/model/placement.h"

namespace fathom::scaling {

inline void lns(SitePlan& plan, const Site& site, const NormConfig& norm) {
  const bool attention = site.sublayer == Sublayer::attention;
  if (norm.sublayers == (attention ? "feed_forward" : "attention")) return;
  const auto layer = static_cast<double>(site.layer);
  const double factor = std::pow(layer, -norm.exponent);
  if (norm.learn_exponent && norm.position != "after_norm")
    throw ConfigError(cat("model.norm.learn_exponent is true, and model.norm.position is ",
                          norm.position, "; a learned exponent works after_norm only"));
  if (norm.position == "before_norm") {
    plan.input_scale = factor;
  } else if (norm.position == "after_branch") {
    plan.output_scale = factor;
  } else if (norm.position == "after_residual") {
    plan.sum_scale = factor;
  } else if (!plan.input_norm.present()) {
    throw ConfigError(cat("model.norm.scaling lns scales the norm before a sub-layer, and layer ",
                          site.layer,
                          " has none; set model.norm.position=after_branch, or choose "
                          "another placement"));
  } else if (norm.learn_exponent) {
    plan.norm_exponent = {.learned = true, .base = layer, .start = norm.exponent};
  } else {
    plan.norm_scale = factor;
  }
}

}  // namespace fathom::scaling
