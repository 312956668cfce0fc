// Mix-LN: the first layers Post-LN, the others Pre-LN.
#pragma once

#include "post.h"
#include "pre.h"

namespace fathom::placement {

inline SitePlan mix(const Site& site, const NormConfig& norm) {
  const int64_t post_layers = norm.post_layers.value_or(site.num_layers / 4);
  return site.layer <= post_layers ? post(site, norm) : pre(site, norm);
}

}  // namespace fathom::placement
