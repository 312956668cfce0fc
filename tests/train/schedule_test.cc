#include "fathom/train/schedule.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

SchedulerConfig schedule(const std::string& type, int64_t warmup, double ratio) {
  SchedulerConfig config;
  config.type = type;
  config.warmup_steps = warmup;
  config.min_lr_ratio = ratio;
  return config;
}

TEST(LearningRate, WarmsUpLinearlyToThePeak) {
  const SchedulerConfig config = schedule("cosine", 10, 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(config, 2.0, 1, 100), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(config, 2.0, 10, 100), 2.0);
}

TEST(LearningRate, FollowsHalfACosineToTheRatio) {
  const SchedulerConfig config = schedule("cosine", 20, 0.1);
  EXPECT_NEAR(learning_rate(config, 1.0, 60, 100), 0.55, 1e-12);  // half way
  EXPECT_NEAR(learning_rate(config, 1.0, 40, 100), 0.8682,
              1e-4);  // 0.1 + 0.9 (1 + cos(pi / 4)) / 2
  EXPECT_NEAR(learning_rate(config, 1.0, 100, 100), 0.1, 1e-12);
}

TEST(LearningRate, FollowsALine) {
  const SchedulerConfig config = schedule("linear", 0, 0.0);
  EXPECT_DOUBLE_EQ(learning_rate(config, 4.0, 25, 100), 3.0);
  EXPECT_DOUBLE_EQ(learning_rate(config, 4.0, 100, 100), 0.0);
}

TEST(LearningRate, IsStableThenDecaysOverTheLastSteps) {
  SchedulerConfig config = schedule("wsd", 5, 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(config, 1.0, 90, 100), 1.0);  // the default: a tenth of all steps
  EXPECT_NEAR(learning_rate(config, 1.0, 95, 100), 0.6, 1e-12);
  EXPECT_NEAR(learning_rate(config, 1.0, 100, 100), 0.2, 1e-12);
  config.decay_steps = 40;
  EXPECT_NEAR(learning_rate(config, 1.0, 80, 100), 0.6, 1e-12);
}

TEST(LearningRate, TakesWarmupAndTheLastValueInEitherUnit) {
  SchedulerConfig ratio = schedule("cosine", 0, 0.1);
  ratio.warmup_ratio = 0.07;  // of 130 steps: 9.1, which transformers rounds up
  ratio.min_lr = 0.5;
  const SchedulerConfig steps = schedule("cosine", 10, 0.25);  // 0.5 of 2
  for (int64_t step = 1; step <= 130; ++step)
    EXPECT_DOUBLE_EQ(learning_rate(ratio, 2.0, step, 130), learning_rate(steps, 2.0, step, 130));
  EXPECT_DOUBLE_EQ(learning_rate(ratio, 2.0, 130, 130), 0.5);
}

TEST(LearningRate, StaysAtThePeak) {
  EXPECT_DOUBLE_EQ(learning_rate(schedule("constant", 2, 0.5), 3.0, 100, 100), 3.0);
}

}  // namespace
}  // namespace fathom
