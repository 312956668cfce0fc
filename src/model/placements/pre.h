// Pre-LN: x + F(norm(x)).
#pragma once

#include "fathom/model/placement.h"

namespace fathom::placement {

inline SitePlan pre(const Site&, const NormConfig&) {
  SitePlan plan;
  plan.input_norm = NormKind::rms;
  return plan;
}

}  // namespace fathom::placement
