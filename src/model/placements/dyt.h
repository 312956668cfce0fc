// DyT: Pre-LN with tanh(alpha x) for every norm, and a learned factor on the embedding.
#pragma once

#include <cmath>

#include "fathom/model/placement.h"

namespace fathom::placement {

/// Start of alpha by width, after the search in arXiv:2503.10622: smaller in wider models, larger
/// before attention.
inline double dyt_alpha(int64_t width, bool attention, const NormConfig& norm) {
  const auto& asked = attention ? norm.attention_alpha : norm.alpha;
  const double by_width = width <= 1024   ? 1.0
                          : width <= 2048 ? (attention ? 1.0 : 0.5)
                          : width <= 4096 ? (attention ? 0.8 : 0.2)
                                          : (attention ? 0.2 : 0.05);
  return asked.value_or(by_width);
}

inline SitePlan dyt(const Site& site, const NormConfig& norm) {
  SitePlan plan;
  const bool attention = site.sublayer == Sublayer::attention;
  plan.input_norm = {NormKind::dyt, 1, dyt_alpha(site.hidden_size, attention, norm)};
  return plan;
}

/// The embedding's factor starts at sqrt(d): without a norm, the stream would start too small.
inline void finish_dyt(ModelPlan& plan, const ModelConfig& config) {
  plan.final_norm = {NormKind::dyt, 1, dyt_alpha(config.hidden_size, false, config.norm)};
  plan.embedding_gain = {GainKind::scalar, std::sqrt(static_cast<double>(config.hidden_size))};
}

}  // namespace fathom::placement
