// HybridNorm: norms on query, key and value, and one on the sum of attention, from which both the
// feed-forward and its skip start.
#pragma once

#include "pre.h"

namespace fathom::placement {

/// h = norm(x + attention_qkv(x)); y = h + F(h). With `first_block_pre` (HybridNorm*), the first
/// block has its norms where Pre-LN has them.
inline SitePlan hybrid(const Site& site, const NormConfig& norm) {
  const bool attention = site.sublayer == Sublayer::attention;
  const bool pre_block = norm.first_block_pre && site.layer == 1;
  SitePlan plan = pre_block ? pre(site, norm) : SitePlan{};
  if (!attention) return plan;
  plan.query_norm = plan.key_norm = plan.value_norm = HeadNorm::head;
  if (!pre_block) plan.sum_norm = NormKind::rms;
  return plan;
}

}  // namespace fathom::placement
