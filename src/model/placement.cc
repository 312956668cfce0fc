#include "fathom/model/placement.h"

#include <algorithm>
#include <iterator>

#include "fathom/base/names.h"
#include "placements/admin.h"
#include "placements/branch_gain.h"
#include "placements/deepnorm.h"
#include "placements/dyt.h"
#include "placements/gpas.h"
#include "placements/group.h"
#include "placements/hybrid.h"
#include "placements/lns.h"
#include "placements/mix.h"
#include "placements/post.h"
#include "placements/pre.h"
#include "placements/reordered.h"
#include "placements/sandwich.h"

namespace fathom {
namespace {

using placement::pre;

/// Pre-LN with a scaling on top.
template <void (*kScaling)(SitePlan&, const Site&, const NormConfig&)>
SitePlan scaled_pre(const Site& site, const NormConfig& norm) {
  SitePlan plan = pre(site, norm);
  kScaling(plan, site, norm);
  return plan;
}

const std::vector<std::string> kLnsOptions = {"exponent", "learn_exponent", "position",
                                              "sublayers"};

const std::array kPlacements = {
    Placement{"pre", &pre, "x + F(norm(x))", "arXiv:2002.04745", {}},
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
    Placement{"lns", &scaled_pre<&scaling::lns>, "x + F(norm(x) / sqrt(layer))", "arXiv:2502.05795",
              kLnsOptions},
    Placement{"sandwich", &placement::sandwich, "x + norm(F(norm(x)))", "arXiv:2105.13290", {}},
    Placement{"admin",
              &placement::admin,
              "norm(w x + F(x)), w per channel, started at sqrt(sum of Var[F] before)",
              "arXiv:2004.08249",
              {}},
    Placement{"group",
              &placement::group,
              "x + F(norm(x)), norm within each of `groups` groups of channels",
              "arXiv:2502.05795, table 7",
              {"groups"},
              &placement::finish_group},
    Placement{"layerscale",
              &scaled_pre<&scaling::layerscale>,
              "x + diag(w) F(norm(x)), w started at 0.1, above 18 layers 1e-5, above 24 1e-6",
              "arXiv:2103.17239",
              {"branch_gain_start"}},
    Placement{"skipinit",
              &scaled_pre<&scaling::skipinit>,
              "x + a F(norm(x)), a scalar, started at 1 / sqrt(L)",
              "arXiv:2002.10444",
              {"branch_gain_start"}},
    Placement{"peri",
              &placement::sandwich,
              "x + norm(F(norm(x))), and a norm after the embedding",
              "arXiv:2502.02732",
              {},
              &placement::finish_peri},
    Placement{"reordered",
              &placement::reordered,
              "x + norm(F(x)), norms over all channels of query and key",
              "arXiv:2501.00656",
              {}},
    Placement{"hybrid",
              &placement::hybrid,
              "h = norm(x + attention(x)) with norms on query, key and value; h + F(h)",
              "arXiv:2503.04598",
              {"first_block_pre"}},
    Placement{"dyt",
              &placement::dyt,
              "x + F(tanh(alpha x)), a factor sqrt(d) on the embedding",
              "arXiv:2503.10622",
              {"alpha", "attention_alpha"},
              &placement::finish_dyt},
    Placement{"gpas",
              &scaled_pre<&scaling::gpas>,
              "gate(x + F(norm(x))), gate(y) = y - silu(a) stop_gradient(y)",
              "arXiv:2506.22049",
              {}},
};

const std::array kScalings = {
    Scaling{"none", [](SitePlan&, const Site&, const NormConfig&) {}, "nothing", "", {}},
    Scaling{"lns", &scaling::lns, "norm(x) / sqrt(layer) before a sub-layer", "arXiv:2502.05795",
            kLnsOptions},
    Scaling{"layerscale",
            &scaling::layerscale,
            "diag(w) F(...)",
            "arXiv:2103.17239",
            {"branch_gain_start"}},
    Scaling{"skipinit", &scaling::skipinit, "a F(...)", "arXiv:2002.10444", {"branch_gain_start"}},
    Scaling{
        "gpas", &scaling::gpas, "gate(sum), or gate(skip) under a norm", "arXiv:2506.22049", {}},
};

constexpr std::string_view kPlacementKey = "model.norm.placement";

/// The row of each layer, from "post x3, pre x9" or a name alone.
std::vector<const Placement*> rows_of_layers(const ModelConfig& config) {
  std::vector<const Placement*> rows;
  for (const SequencePart& part : parse_sequence(config.norm.placement)) {
    const Placement& row = find_row(placements(), part.name, kPlacementKey);
    rows.insert(rows.end(), static_cast<size_t>(part.count.value_or(config.num_hidden_layers)),
                &row);
  }
  if (static_cast<int64_t>(rows.size()) != config.num_hidden_layers)
    throw ConfigError(cat(kPlacementKey, " is '", config.norm.placement, "', which makes ",
                          rows.size(), " layers; model.num_hidden_layers is ",
                          config.num_hidden_layers, ": make them equal"));
  return rows;
}

bool names_placement(const ModelConfig& config, std::string_view name) {
  const std::vector<SequencePart> parts = parse_sequence(config.norm.placement);
  return std::any_of(parts.begin(), parts.end(),
                     [&](const SequencePart& part) { return part.name == name; });
}

const Scaling& scaling_of(const ModelConfig& config) {
  const Scaling& row = find_row(scalings(), config.norm.scaling, "model.norm.scaling");
  if (row.name != "none" && names_placement(config, row.name))
    throw ConfigError(cat("model.norm.scaling is ", row.name, ", which model.norm.placement (",
                          config.norm.placement, ") has already; remove one of them"));
  return row;
}

/// The norms that `model.norm.kind` and `model.qk_norm` choose.
void choose_norms(SitePlan& plan, const Site& site, const ModelConfig& config) {
  for (NormPlan* norm : {&plan.input_norm, &plan.output_norm, &plan.sum_norm}) {
    if (norm->kind == NormKind::rms && config.norm.kind == "layer") norm->kind = NormKind::layer;
  }
  if (site.sublayer == Sublayer::attention && config.qk_norm != "auto")
    plan.query_norm = plan.key_norm = config.qk_norm == "head"   ? HeadNorm::head
                                      : config.qk_norm == "full" ? HeadNorm::full
                                                                 : HeadNorm::none;
}

/// Norms and gains outside the blocks: of the embedding as the first row says, the final norm as
/// the last.
void finish(ModelPlan& plan, const Placement& first, const Placement& last,
            const ModelConfig& config) {
  ModelPlan end;
  if (first.finish != nullptr) first.finish(plan, config);
  if (last.finish != nullptr) last.finish(end, config);
  plan.final_norm = end.final_norm;
}

void choose_outer_norms(ModelPlan& plan, const ModelConfig& config) {
  const bool ends_in_norm = plan.layers.back().feed_forward.sum_norm.present();
  if (config.norm.final_norm == "off" || (config.norm.final_norm == "auto" && ends_in_norm))
    plan.final_norm = NormKind::none;
  for (NormPlan* norm : {&plan.embedding_norm, &plan.final_norm}) {
    if (norm->kind == NormKind::rms && config.norm.kind == "layer") norm->kind = NormKind::layer;
  }
}

using LayerFunction = std::function<SitePlan(const Site&)>;

std::vector<LayerPlan> plan_layers(const ModelConfig& config, const LayerFunction& plan_of) {
  std::vector<LayerPlan> layers;
  for (int64_t layer = 1; layer <= config.num_hidden_layers; ++layer) {
    const auto plan = [&](Sublayer sublayer) {
      const Site site{.layer = layer,
                      .num_layers = config.num_hidden_layers,
                      .sublayer = sublayer,
                      .hidden_size = config.hidden_size};
      SitePlan chosen = plan_of(site);
      choose_norms(chosen, site, config);
      return chosen;
    };
    layers.push_back(
        {.attention = plan(Sublayer::attention), .feed_forward = plan(Sublayer::feed_forward)});
  }
  return layers;
}

}  // namespace

std::span<const Placement> placements() { return kPlacements; }
std::span<const Scaling> scalings() { return kScalings; }

ModelPlan resolve_plan(const ModelConfig& config) {
  const std::vector<const Placement*> rows = rows_of_layers(config);
  const Scaling& scaling = scaling_of(config);
  ModelPlan plan;
  plan.layers = plan_layers(config, [&](const Site& site) {
    SitePlan chosen = rows[static_cast<size_t>(site.layer - 1)]->plan(site, config.norm);
    scaling.apply(chosen, site, config.norm);
    return chosen;
  });
  finish(plan, *rows.front(), *rows.back(), config);
  choose_outer_norms(plan, config);
  return plan;
}

ModelPlan resolve_plan(const ModelConfig& config, const PlacementFunction& placement) {
  ModelPlan plan;
  plan.layers = plan_layers(config, placement);
  choose_outer_norms(plan, config);
  return plan;
}

bool is_plain_llama(const ModelPlan& plan) {
  const bool head_norms = plan.layers.front().attention.query_norm == HeadNorm::head;
  const auto plain = [&](SitePlan site, bool attention) {
    SitePlan pre;
    pre.input_norm = NormKind::rms;
    if (attention && head_norms) pre.query_norm = pre.key_norm = HeadNorm::head;
    site.norm_scale = 1.0;  // folds into the gain
    site.start = {};        // start values are gone once a model is trained
    return site == pre;
  };
  for (const LayerPlan& layer : plan.layers) {
    if (!plain(layer.attention, true) || !plain(layer.feed_forward, false)) return false;
  }
  return plan.final_norm == NormKind::rms && !plan.embedding_norm.present() &&
         !plan.embedding_gain.present();
}

std::vector<std::string> known_bad_pairings(const ModelConfig& config) {
  const bool lns = names_placement(config, "lns") || config.norm.scaling == "lns";
  if (lns && config.init.method != "normal")
    return {cat("model.init.method ", config.init.method,
                " beside LayerNorm Scaling is worse than LayerNorm Scaling alone "
                "(arXiv:2502.05795, table 6); set model.init.method=normal")};
  return {};
}

}  // namespace fathom
