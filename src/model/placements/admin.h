// Admin: norm(w x + F(x)) with w learned for each channel and started by profiling.
#pragma once

#include "post.h"

namespace fathom::placement {

inline SitePlan admin(const Site& site, const NormConfig& norm) {
  SitePlan plan = post(site, norm);
  plan.skip_gain = {GainKind::channel, 1.0};
  plan.profiled_skip = true;
  return plan;
}

}  // namespace fathom::placement
