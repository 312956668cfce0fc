// Post-LN: norm(x + F(x)).
#pragma once

#include "fathom/model/placement.h"

namespace fathom::placement {

inline SitePlan post(const Site&, const NormConfig&) {
  SitePlan plan;
  plan.sum_norm = NormKind::rms;
  return plan;
}

}  // namespace fathom::placement
