// LayerNorm Scaling: x + F(norm(x) / sqrt(layer)), and the positions and exponents of the paper's
// ablation.
#pragma once

#include <cmath>

#include "pre.h"

namespace fathom::placement {

inline SitePlan lns(const Site& site, const NormConfig& norm) {
  SitePlan plan = pre(site, norm);
  const bool attention = site.sublayer == Sublayer::attention;
  if (norm.sublayers == (attention ? "feed_forward" : "attention")) return plan;
  const double factor = std::pow(static_cast<double>(site.layer), -norm.exponent);
  if (norm.position == "before_norm") {
    plan.input_scale = factor;
  } else if (norm.position == "after_branch") {
    plan.output_scale = factor;
  } else if (norm.position == "after_residual") {
    plan.sum_scale = factor;
  } else {
    plan.norm_scale = factor;
  }
  return plan;
}

}  // namespace fathom::placement
