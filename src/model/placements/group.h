// Group-LN: Pre-LN whose norms work within groups of channels.
#pragma once

#include "fathom/base/error.h"
#include "fathom/model/placement.h"

namespace fathom::placement {

inline SitePlan group(const Site& site, const NormConfig& norm) {
  if (site.hidden_size % norm.groups != 0)
    throw ConfigError(cat("model.norm.groups is ", norm.groups, "; it must divide hidden_size (",
                          site.hidden_size, ")"));
  SitePlan plan;
  plan.input_norm = {NormKind::group, norm.groups};
  return plan;
}

inline void finish_group(ModelPlan& plan, const ModelConfig& config) {
  plan.final_norm = {NormKind::group, config.norm.groups};
}

}  // namespace fathom::placement
