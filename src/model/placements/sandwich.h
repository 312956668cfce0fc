// Sandwich-LN: x + norm(F(norm(x))); Peri-LN has a norm after the embedding as well.
#pragma once

#include "pre.h"

namespace fathom::placement {

inline SitePlan sandwich(const Site& site, const NormConfig& norm) {
  SitePlan plan = pre(site, norm);
  plan.output_norm = NormKind::rms;
  return plan;
}

inline void finish_peri(ModelPlan& plan, const ModelConfig&) {
  plan.embedding_norm = NormKind::rms;
}

}  // namespace fathom::placement
