// OLMo 2: x + norm(F(x)), with a norm over all channels of query and of key.
#pragma once

#include "fathom/model/placement.h"

namespace fathom::placement {

inline SitePlan reordered(const Site& site, const NormConfig&) {
  SitePlan plan;
  plan.output_norm = NormKind::rms;
  if (site.sublayer == Sublayer::attention) plan.query_norm = plan.key_norm = HeadNorm::full;
  return plan;
}

}  // namespace fathom::placement
