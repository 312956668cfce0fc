// DeepNorm: norm(alpha x + F(x)), as published and as the authors of The Curse of Depth released
// it.
#pragma once

#include <cmath>

#include "post.h"

namespace fathom::placement {

/// Post-LN with a stronger skip, and Xavier start values: gain 1 for query and key, `gain` for the
/// others.
inline SitePlan deepnorm_with(double alpha, double gain, const Site& site, const NormConfig& norm) {
  SitePlan plan = post(site, norm);
  plan.skip_scale = alpha;
  plan.start.fill({.xavier = true, .gain = gain});
  plan.start_of(Weight::query).gain = 1.0;
  plan.start_of(Weight::key).gain = 1.0;
  return plan;
}

/// alpha = (2N)^(1/4), gain (8N)^(-1/4).
inline SitePlan deepnorm(const Site& site, const NormConfig& norm) {
  const auto layers = static_cast<double>(site.num_layers);
  return deepnorm_with(std::pow(2 * layers, 0.25), std::pow(8 * layers, -0.25), site, norm);
}

/// alpha fixed at 2.828 (right for N = 32 only) and gain (8N)^(+1/4): a likely cause of the
/// published divergence.
inline SitePlan deepnorm_released(const Site& site, const NormConfig& norm) {
  return deepnorm_with(2.828, std::pow(8 * static_cast<double>(site.num_layers), 0.25), site, norm);
}

}  // namespace fathom::placement
