// Learned factors on the branch: LayerScale, x + diag(lambda) F(norm(x)), and SkipInit,
// x + a F(norm(x)).
#pragma once

#include <cmath>

#include "fathom/base/error.h"
#include "fathom/model/placement.h"

namespace fathom::scaling {

inline void gain_branch(SitePlan& plan, GainPlan gain) {
  if (plan.branch_gain.present())
    throw ConfigError(
        "model.norm.scaling would put a second gain on the branch, which "
        "model.norm.placement has given one; set model.norm.scaling=none");
  plan.branch_gain = gain;
}

/// lambda for each channel starts at 0.1 up to 18 layers, 1e-5 up to 24, 1e-6 above (CaiT, section
/// 2).
inline void layerscale(SitePlan& plan, const Site& site, const NormConfig& norm) {
  const double cait = site.num_layers <= 18 ? 0.1 : site.num_layers <= 24 ? 1e-5 : 1e-6;
  gain_branch(plan, {GainKind::channel, norm.branch_gain_start.value_or(cait)});
}

/// One a for each sub-layer starts at 1 / sqrt(L).
inline void skipinit(SitePlan& plan, const Site& site, const NormConfig& norm) {
  const double start = 1 / std::sqrt(static_cast<double>(site.num_layers));
  gain_branch(plan, {GainKind::scalar, norm.branch_gain_start.value_or(start)});
}

}  // namespace fathom::scaling
