// The check passes for every row of the table, and fails for every field of a plan that isn't what
// the model does.
#include "fathom/model/check.h"

#include <gtest/gtest.h>

#include <functional>

namespace fathom {
namespace {

ModelConfig tiny(const std::string& placement) {
  ModelConfig config;
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.num_hidden_layers = 5;
  config.num_attention_heads = 4;
  config.vocab_size = 300;
  config.norm.placement = placement;
  config.norm.post_layers = placement == "mix" ? std::optional<int64_t>(2) : std::nullopt;
  return config;
}

Llama build(const ModelConfig& config, const ModelPlan& plan,
            torch::ScalarType dtype = torch::kFloat32) {
  Llama model(config, plan, torch::TensorOptions(dtype), dtype);
  model->start_weights(1);
  return model;
}

std::string verdict(Llama& model, const ModelPlan& expected) {
  return first_disagreement(check_model(model, expected));
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

struct Perturbation {
  const char* name;
  std::function<void(SitePlan&)> apply;
};

const std::vector<Perturbation>& perturbations() {
  static const std::vector<Perturbation> all = {
      {"norm_scale", [](SitePlan& p) { p.norm_scale *= 1.03; }},
      {"input_scale", [](SitePlan& p) { p.input_scale *= 1.2; }},
      {"output_scale", [](SitePlan& p) { p.output_scale *= 1.03; }},
      {"skip_scale", [](SitePlan& p) { p.skip_scale *= 1.03; }},
      {"sum_scale", [](SitePlan& p) { p.sum_scale *= 1.03; }},
      {"input_norm",
       [](SitePlan& p) {
         p.input_norm = p.input_norm == NormKind::none ? NormKind::rms : NormKind::none;
       }},
      {"output_norm",
       [](SitePlan& p) {
         p.output_norm = p.output_norm == NormKind::none ? NormKind::rms : NormKind::none;
       }},
      {"sum_norm",
       [](SitePlan& p) {
         p.sum_norm = p.sum_norm == NormKind::none ? NormKind::rms : NormKind::none;
       }},
      {"start of gate",
       [](SitePlan& p) {
         p.start_of(Weight::gate) = {true, 1.7};
       }},
  };
  return all;
}

TEST(Check, NamesTheLayerAndSiteOfAnyFieldThatDiffersFromThePlan) {
  for (const Placement& row : placements()) {
    const ModelConfig config = tiny(std::string(row.name));
    const ModelPlan plan = resolve_plan(config);
    for (const Perturbation& perturbation : perturbations()) {
      ModelPlan broken = plan;
      perturbation.apply(broken.layers[3].feed_forward);
      Llama model = build(config, broken);
      const std::string found = verdict(model, plan);
      const char* place = std::string(perturbation.name) == "start of gate"
                              ? "model.layers.3.mlp.gate_proj.weight"
                              : "layer 4, feed-forward";
      EXPECT_EQ(found.rfind(place, 0), 0U)
          << row.name << ", " << perturbation.name << ": " << found;
    }
  }
}

TEST(Check, CatchesAModelWithoutNormsAsInTheAuthorsRelease) {
  const ModelConfig config = tiny("lns");
  ModelPlan bare = resolve_plan(config);
  for (LayerPlan& layer : bare.layers) layer = {};
  Llama model = build(config, bare);
  EXPECT_EQ(verdict(model, resolve_plan(config)),
            "layer 1, attention: norm before the sub-layer is 0, the plan says 1");
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
  plan.final_norm = false;
  EXPECT_EQ(verdict(model, plan), "before the head: final norm is 1, the plan says 0");
  plan.final_norm = true;
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
