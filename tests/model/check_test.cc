// The check passes for every row of the table, and fails for every field of a plan that isn't what
// the model does.
#include "fathom/model/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/model/profile.h"

namespace fathom {
namespace {

ModelConfig tiny(const std::string& placement) {
  ModelConfig config;
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.vocab_size = 300;
  config.norm.placement = placement;
  if (placement == "mix") config.norm.post_layers = 1;
  return config;
}

Llama build(const ModelConfig& config, const ModelPlan& plan,
            torch::ScalarType dtype = torch::kFloat32) {
  Llama model(config, plan, torch::TensorOptions(dtype), dtype);
  model->start_weights(1);
  profile_skips(model, torch::arange(64, torch::kInt64).view({2, 32}), {});
  return model;
}

std::string verdict(Llama& model, const ModelPlan& expected) {
  return first_disagreement(check_model(model, expected, {.start_values = true, .max_layers = 2}));
}

TEST(Check, PassesForEveryPlacementInEveryPrecision) {
  for (const Placement& row : placements()) {
    const ModelConfig config = tiny(std::string(row.name));
    const ModelPlan plan = resolve_plan(config);
    for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
      Llama model = build(config, plan, dtype);
      EXPECT_EQ(verdict(model, plan), "") << row.name << " " << dtype;
    }
  }
}

TEST(Check, PassesForEveryPositionOfLns) {
  for (const char* position : {"after_norm", "before_norm", "after_branch", "after_residual"}) {
    ModelConfig config = tiny("lns");
    config.norm.position = position;
    const ModelPlan plan = resolve_plan(config);
    Llama model = build(config, plan);
    EXPECT_EQ(verdict(model, plan), "") << position;
  }
}

/// Other values for a field of a plan, one of each sort that a field can be wrong in.
std::vector<double> others(double value) { return {value * 1.03, 0.0}; }
std::vector<bool> others(bool value) { return {!value}; }
std::vector<HeadNorm> others(HeadNorm value) {
  std::vector<HeadNorm> all = {HeadNorm::none, HeadNorm::head, HeadNorm::full};
  std::erase(all, value);
  return all;
}
std::vector<NormPlan> others(const NormPlan& norm) {
  std::vector<NormPlan> all = {NormKind::none,
                               NormKind::rms,
                               NormKind::layer,
                               {NormKind::group, 4},
                               {NormKind::dyt, 1, 0.7}};
  std::erase(all, norm);
  return all;
}
std::vector<GainPlan> others(const GainPlan& gain) {
  std::vector<GainPlan> all = {
      {GainKind::none, 1.0}, {GainKind::scalar, 0.8}, {GainKind::channel, 0.8}};
  if (gain.present()) all.push_back({gain.kind, gain.start * 1.1 + 0.01});
  std::erase(all, gain);
  return all;
}
std::vector<ExponentPlan> others(const ExponentPlan& plan) {
  if (!plan.learned) return {{true, 4.0, 0.5}};
  return {
      {false, 1.0, 0.0}, {true, plan.base * 1.3, plan.start}, {true, plan.base, plan.start + 0.1}};
}

struct Broken {
  std::string field;
  std::string named;  ///< what the message must start with
  SitePlan plan;
};

/// The plan with each field changed in turn.
std::vector<Broken> broken_plans(const SitePlan& plan, const std::string& place,
                                 const std::vector<std::pair<Weight, const char*>>& matrices) {
  std::vector<Broken> all;
  visit_fields(plan, [&](std::string_view name, const auto& field) {
    using Field = std::decay_t<decltype(field)>;
    if constexpr (!std::is_same_v<Field, decltype(SitePlan::start)>) {
      for (const Field& other : others(field)) {
        SitePlan changed = plan;
        visit_fields(changed, [&](std::string_view other_name, auto& target) {
          if constexpr (std::is_same_v<std::decay_t<decltype(target)>, Field>) {
            if (other_name == name) target = other;
          }
        });
        all.push_back({std::string(name), place, changed});
      }
    }
  });
  for (const auto& [weight, matrix] : matrices) {
    SitePlan changed = plan;
    changed.start_of(weight).xavier = !changed.start_of(weight).xavier;
    changed.start_of(weight).gain *= 1.5;
    all.push_back({"std of the start values", cat("model.layers.2.", matrix, ".weight"), changed});
    changed = plan;
    changed.start_of(weight).gain *= 1.5;
    all.push_back({"std of the start values", cat("model.layers.2.", matrix, ".weight"), changed});
  }
  return all;
}

/// What the check says of a model built by another plan than the one expected.
std::string verdict_of(const ModelConfig& config, const ModelPlan& built,
                       const ModelPlan& expected) {
  try {
    Llama model = build(config, built);
    return verdict(model, expected);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

void expect_each_field_is_named(const ModelConfig& config, Sublayer sublayer) {
  const ModelPlan plan = resolve_plan(config);
  const bool attention = sublayer == Sublayer::attention;
  const auto breaks = attention ? broken_plans(plan.layers[2].attention, "layer 3, attention",
                                               {{Weight::query, "self_attn.q_proj"},
                                                {Weight::key, "self_attn.k_proj"},
                                                {Weight::value, "self_attn.v_proj"},
                                                {Weight::output, "self_attn.o_proj"}})
                                : broken_plans(plan.layers[2].feed_forward, "layer 3, feed-forward",
                                               {{Weight::gate, "mlp.gate_proj"},
                                                {Weight::up, "mlp.up_proj"},
                                                {Weight::down, "mlp.down_proj"}});
  for (const Broken& broken : breaks) {
    ModelPlan built = plan;
    (attention ? built.layers[2].attention : built.layers[2].feed_forward) = broken.plan;
    const std::string found = verdict_of(config, built, plan);
    // Norms of heads at a feed-forward, the profile of a gain that isn't there: not even built.
    if (found.rfind("a plan ", 0) == 0) continue;
    // The profile replaces whatever a profiled gain started at.
    const SitePlan& site = plan.layers[2].site(sublayer);
    if (site.profiled_skip && broken.field == "skip_gain" &&
        broken.plan.skip_gain.kind == site.skip_gain.kind)
      continue;
    EXPECT_EQ(found.rfind(broken.named, 0), 0U)
        << config.norm.placement << ", " << broken.field << ": " << found;
    EXPECT_NE(found.find(broken.field), std::string::npos)
        << config.norm.placement << ", " << broken.field << ": " << found;
  }
}

TEST(Check, NamesLayerSiteAndFieldOfAnyFieldThatDiffersFromThePlan) {
  for (const Placement& row : placements()) {
    const ModelConfig config = tiny(std::string(row.name));
    expect_each_field_is_named(config, Sublayer::attention);
    expect_each_field_is_named(config, Sublayer::feed_forward);
  }
  ModelConfig learned = tiny("lns");
  learned.norm.learn_exponent = true;
  expect_each_field_is_named(learned, Sublayer::attention);
}

TEST(Check, SaysWhatWasExpectedAndWhatWasMeasured) {
  const ModelConfig config = tiny("lns");
  const ModelPlan plan = resolve_plan(config);
  ModelPlan built = plan;
  built.layers[2].attention.norm_scale = 0.75;  // 1 / sqrt(3) in the plan
  EXPECT_THAT(
      verdict_of(config, built, plan),
      testing::MatchesRegex("layer 3, attention: norm_scale is 0.7(5|4999).*, the plan says "
                            "0.5.*"));
  built = plan;
  built.layers[2].feed_forward.sum_norm = NormKind::layer;
  EXPECT_EQ(verdict_of(config, built, plan),
            "layer 3, feed-forward: sum_norm is layer, the plan says none");
}

TEST(Check, CatchesAModelWithoutNormsAsInTheAuthorsRelease) {
  const ModelConfig config = tiny("lns");
  ModelPlan bare = resolve_plan(config);
  for (LayerPlan& layer : bare.layers) layer = {};
  Llama model = build(config, bare);
  EXPECT_EQ(verdict(model, resolve_plan(config)),
            "layer 1, attention: input_norm is none, the plan says rms");
}

TEST(Check, CatchesFactorsThatWereNeverSetAsInOlmoCore) {
  const ModelConfig config = tiny("lns");
  ModelPlan garbage = resolve_plan(config);
  garbage.layers[0].attention.norm_scale = 0.0;
  garbage.layers[2].attention.norm_scale = -1.1e13;
  Llama model = build(config, garbage);
  EXPECT_EQ(verdict(model, resolve_plan(config)).rfind("layer 1, attention: ", 0), 0U);
}

TEST(Check, CatchesAWrongFinalNormAndWrongStartValues) {
  const ModelConfig config = tiny("pre");
  ModelPlan plan = resolve_plan(config);
  Llama model = build(config, plan);
  plan.final_norm = NormKind::none;
  EXPECT_EQ(verdict(model, plan), "before the head: final_norm is rms, the plan says none");
  plan.final_norm = NormKind::rms;
  plan.embedding_norm = NormKind::rms;
  EXPECT_EQ(verdict(model, plan), "embedding: embedding_norm is none, the plan says rms");
  plan.embedding_norm = NormKind::none;
  plan.embedding_gain = {GainKind::scalar, 8.0};
  EXPECT_EQ(verdict(model, plan).rfind("embedding: embedding_gain is none", 0), 0U);
  plan.embedding_gain = {};
  const torch::NoGradGuard no_grad;
  model->block(2)->mlp->up_proj->weight.mul_(1.1);
  EXPECT_EQ(verdict(model, plan).rfind("model.layers.2.mlp.up_proj.weight: std", 0), 0U);
}

TEST(Check, WorksOnTrainedGains) {
  const ModelConfig config = tiny("lns");
  const ModelPlan plan = resolve_plan(config);
  Llama model = build(config, plan);
  const torch::NoGradGuard no_grad;
  for (auto& entry : model->named_parameters()) {
    if (entry.value().dim() == 1) entry.value().normal_(1.0, 0.5);
  }
  EXPECT_EQ(first_disagreement(check_model(model, plan, {.start_values = false})), "");
}

}  // namespace
}  // namespace fathom
