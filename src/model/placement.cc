#include "fathom/model/placement.h"

#include "fathom/base/names.h"
#include "placements/deepnorm.h"
#include "placements/lns.h"
#include "placements/mix.h"
#include "placements/post.h"
#include "placements/pre.h"

namespace fathom {
namespace {

const std::array kPlacements = {
    Placement{"pre", &placement::pre, "x + F(norm(x))", "arXiv:2002.04745", {}},
    Placement{"post", &placement::post, "norm(x + F(x))", "arXiv:1706.03762", {}},
    Placement{"mix",
              &placement::mix,
              "norm(x + F(x)) in the first post_layers, x + F(norm(x)) above",
              "arXiv:2412.13795",
              {"post_layers"}},
    Placement{"deepnorm",
              &placement::deepnorm,
              "norm(a x + F(x)), a = (2N)^(1/4), Xavier start with gain (8N)^(-1/4)",
              "arXiv:2203.00555",
              {}},
    Placement{"deepnorm_released",
              &placement::deepnorm_released,
              "norm(2.828 x + F(x)), Xavier start with gain (8N)^(1/4)",
              "arXiv:2502.05795, released code",
              {}},
    Placement{"lns",
              &placement::lns,
              "x + F(norm(x) / sqrt(layer))",
              "arXiv:2502.05795",
              {"exponent", "position", "sublayers"}},
};

}  // namespace

std::span<const Placement> placements() { return kPlacements; }

ModelPlan resolve_plan(const ModelConfig& config) {
  const Placement& row = find_row(placements(), config.norm.placement, "model.norm.placement");
  return resolve_plan(config, [&](const Site& site) { return row.plan(site, config.norm); });
}

ModelPlan resolve_plan(const ModelConfig& config, const PlacementFunction& placement) {
  ModelPlan plan;
  for (int64_t layer = 1; layer <= config.num_hidden_layers; ++layer) {
    const auto site = [&](Sublayer sublayer) {
      return Site{.layer = layer, .num_layers = config.num_hidden_layers, .sublayer = sublayer};
    };
    plan.layers.push_back({.attention = placement(site(Sublayer::attention)),
                           .feed_forward = placement(site(Sublayer::feed_forward))});
  }
  const bool ends_in_norm = plan.layers.back().feed_forward.sum_norm != NormKind::none;
  plan.final_norm =
      config.norm.final_norm == "on" || (config.norm.final_norm == "auto" && !ends_in_norm);
  return plan;
}

bool is_plain_llama(const ModelPlan& plan) {
  const auto plain = [](SitePlan site) {
    SitePlan pre;
    pre.input_norm = NormKind::rms;
    site.norm_scale = 1.0;  // folds into the gain
    site.start = {};        // start values are gone once a model is trained
    return site == pre;
  };
  for (const LayerPlan& layer : plan.layers) {
    if (!plain(layer.attention) || !plain(layer.feed_forward)) return false;
  }
  return plan.final_norm;
}

std::vector<std::string> known_bad_pairings(const ModelConfig& config) {
  if (config.norm.placement == "lns" && config.init.method != "normal")
    return {cat("model.init.method ", config.init.method,
                " beside LayerNorm Scaling is worse than LayerNorm Scaling alone "
                "(arXiv:2502.05795, table 6); set model.init.method=normal")};
  return {};
}

}  // namespace fathom
