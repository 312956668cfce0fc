// Plans against numbers worked out by hand from the papers.
#include "fathom/model/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/base/error.h"
#include "fathom/model/init.h"

namespace fathom {
namespace {

ModelConfig twelve_layers(const std::string& placement) {
  ModelConfig config;
  config.num_hidden_layers = 12;
  config.norm.placement = placement;
  return config;
}

TEST(PreLn, HasAnInputNormAndNothingElse) {
  const ModelPlan plan = resolve_plan(twelve_layers("pre"));
  SitePlan expected;
  expected.input_norm = NormKind::rms;
  for (const LayerPlan& layer : plan.layers) {
    EXPECT_EQ(layer.attention, expected);
    EXPECT_EQ(layer.feed_forward, expected);
  }
  EXPECT_EQ(plan.final_norm, NormKind::rms);
}

TEST(PostLn, HasANormOnTheSumAndNoFinalNorm) {
  const ModelPlan plan = resolve_plan(twelve_layers("post"));
  SitePlan expected;
  expected.sum_norm = NormKind::rms;
  for (const LayerPlan& layer : plan.layers) EXPECT_EQ(layer.attention, expected);
  EXPECT_EQ(plan.final_norm, NormKind::none);
}

TEST(FinalNorm, CanBeForcedOnAsTheReleasedCodeDoesForPostLn) {
  ModelConfig config = twelve_layers("post");
  config.norm.final_norm = "on";
  EXPECT_EQ(resolve_plan(config).final_norm, NormKind::rms);
}

TEST(MixLn, MakesAQuarterOfTheLayersPostLn) {
  ModelConfig config = twelve_layers("mix");
  const ModelPlan plan = resolve_plan(config);
  for (size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(plan.layers[i].attention.sum_norm == NormKind::rms, i < 3) << i;
    EXPECT_EQ(plan.layers[i].feed_forward.input_norm == NormKind::rms, i >= 3) << i;
  }
  EXPECT_EQ(plan.final_norm, NormKind::rms);
  config.num_hidden_layers = 24;  // 6 of 24
  EXPECT_EQ(resolve_plan(config).layers[5].attention.sum_norm, NormKind::rms);
  EXPECT_EQ(resolve_plan(config).layers[6].attention.sum_norm, NormKind::none);
  config.norm.post_layers = 1;
  EXPECT_EQ(resolve_plan(config).layers[1].attention.sum_norm, NormKind::none);
}

TEST(DeepNorm, ScalesTheSkipBy2NToTheQuarterAndWeightsBy8NToTheMinusQuarter) {
  const LayerPlan plan = resolve_plan(twelve_layers("deepnorm")).layers[4];
  EXPECT_NEAR(plan.attention.skip_scale, 2.2134, 1e-4);  // 24^(1/4)
  for (const Weight weight :
       {Weight::value, Weight::output, Weight::gate, Weight::up, Weight::down}) {
    EXPECT_TRUE(plan.attention.start_of(weight).xavier);
    EXPECT_NEAR(plan.attention.start_of(weight).gain, 0.3195, 1e-4);  // 96^(-1/4)
  }
  EXPECT_EQ(plan.attention.start_of(Weight::query), (WeightStart{true, 1.0}));
  EXPECT_EQ(plan.attention.start_of(Weight::key), (WeightStart{true, 1.0}));
  EXPECT_EQ(plan.attention.sum_norm, NormKind::rms);
}

TEST(DeepNorm, AsReleasedHasAFixedSkipAndTheInverseGain) {
  const LayerPlan plan = resolve_plan(twelve_layers("deepnorm_released")).layers[4];
  EXPECT_EQ(plan.feed_forward.skip_scale, 2.828);
  EXPECT_NEAR(plan.feed_forward.start_of(Weight::down).gain, 3.1302, 1e-4);  // 96^(1/4)
}

TEST(Lns, DividesBothNormsByTheRootOfTheLayerWhichCountsFromOne) {
  const ModelPlan plan = resolve_plan(twelve_layers("lns"));
  const double expected[] = {1, 0.70711, 0.57735, 0.5};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(plan.layers[i].attention.norm_scale, expected[i], 1e-5);
    EXPECT_NEAR(plan.layers[i].feed_forward.norm_scale, expected[i], 1e-5);
  }
  EXPECT_EQ(plan.final_norm, NormKind::rms);
}

TEST(Lns, PutsTheFactorWhereThePositionSays) {
  ModelConfig config = twelve_layers("lns");
  const auto fourth = [&](const char* position) {
    config.norm.position = position;
    return resolve_plan(config).layers[3].attention;
  };
  EXPECT_EQ(fourth("before_norm").input_scale, 0.5);
  EXPECT_EQ(fourth("after_branch").output_scale, 0.5);
  EXPECT_EQ(fourth("after_residual").sum_scale, 0.5);
  EXPECT_EQ(fourth("after_residual").norm_scale, 1.0);
}

TEST(Lns, ScalesOnlyTheSublayersThatAreNamedWithTheExponentGiven) {
  ModelConfig config = twelve_layers("lns");
  config.norm.sublayers = "attention";
  config.norm.exponent = 1.0;
  const LayerPlan plan = resolve_plan(config).layers[3];
  EXPECT_EQ(plan.attention.norm_scale, 0.25);
  EXPECT_EQ(plan.feed_forward.norm_scale, 1.0);
}

TEST(Placements, EachHasAFormulaASourceAndAName) {
  for (const Placement& row : placements()) {
    EXPECT_FALSE(row.name.empty());
    EXPECT_FALSE(row.formula.empty()) << row.name;
    EXPECT_FALSE(row.source.empty()) << row.name;
  }
}

TEST(Placements, AnUnknownNameListsTheKnownOnes) {
  try {
    resolve_plan(twelve_layers("lsn"));
    FAIL();
  } catch (const ConfigError& error) {
    std::vector<std::string> names;
    for (const Placement& row : placements()) names.emplace_back(row.name);
    EXPECT_EQ(error.what(), cat("model.norm.placement is 'lsn'; allowed: ", join(names),
                                "; did you mean 'lns'?"));
  }
}

TEST(PlainLlama, IsWhatOnlyNormFactorsTellFromPreLn) {
  EXPECT_TRUE(is_plain_llama(resolve_plan(twelve_layers("pre"))));
  EXPECT_TRUE(is_plain_llama(resolve_plan(twelve_layers("lns"))));
  for (const char* other :
       {"post", "mix", "deepnorm", "deepnorm_released", "sandwich", "admin", "group", "layerscale",
        "skipinit", "peri", "reordered", "hybrid", "dyt", "gpas"})
    EXPECT_FALSE(is_plain_llama(resolve_plan(twelve_layers(other)))) << other;
  ModelConfig config = twelve_layers("lns");
  config.norm.position = "after_branch";
  EXPECT_FALSE(is_plain_llama(resolve_plan(config)));
}

TEST(Initializations, HaveTheStdsOfThePaper) {
  ModelConfig config = twelve_layers("pre");  // hidden 768, std 0.02
  const Site third{.layer = 3, .num_layers = 12, .sublayer = Sublayer::attention};
  const auto std = [&](const char* method, Weight weight) {
    config.init.method = method;
    return start_std(config, SitePlan{}, third, weight, 768, 768);
  };
  EXPECT_DOUBLE_EQ(std("normal", Weight::output), 0.02);
  EXPECT_NEAR(std("scaled", Weight::output), 0.0040825, 1e-7);  // 0.02 / sqrt(24)
  EXPECT_NEAR(std("scaled", Weight::down), 0.0040825, 1e-7);
  EXPECT_DOUBLE_EQ(std("scaled", Weight::query), 0.02);
  EXPECT_NEAR(std("depth_scaled", Weight::query), 0.0081650, 1e-7);  // 0.02 / sqrt(6)
  EXPECT_NEAR(std("olmo", Weight::gate), 0.0360844, 1e-7);           // 1 / sqrt(768)
  EXPECT_NEAR(std("olmo", Weight::down), 0.0147314, 1e-7);           // 1 / sqrt(2 768 3)
}

TEST(Initializations, XavierOfThePlanWinsOverTheMethod) {
  const ModelConfig config = twelve_layers("deepnorm");
  const SitePlan plan = resolve_plan(config).layers[0].feed_forward;
  const double std =
      start_std(config, plan, Site{1, 12, Sublayer::feed_forward}, Weight::up, 2048, 768);
  EXPECT_NEAR(std, 0.3195 * 0.026650, 1e-5);  // 96^(-1/4) sqrt(2 / 2816)
}

TEST(KnownBadPairings, WarnOfLnsWithAScaledStartAndCiteThePaper) {
  ModelConfig config = twelve_layers("lns");
  EXPECT_TRUE(known_bad_pairings(config).empty());
  config.init.method = "scaled";
  EXPECT_THAT(known_bad_pairings(config), testing::ElementsAre(testing::HasSubstr("2502.05795")));
}

}  // namespace
}  // namespace fathom
