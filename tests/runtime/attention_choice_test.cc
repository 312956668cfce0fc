// The choice of an attention kernel, with made-up times: no GPU is needed to choose by them.
#include "fathom/runtime/attention_choice.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/base/error.h"
#include "model/tiny_model.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

RunConfig run_config(const std::string& attention) {
  RunConfig config;
  config.model = tiny_config();
  config.data.sequence_length = 8;
  config.train.global_batch_size = 2;
  config.train.attention = attention;
  return config;
}

/// Times by the kernel that LibTorch may use; a negative one is a kernel that fails.
DeviceTimer times(double flash, double cudnn, double efficient) {
  return [=](const std::function<void()>&) {
    const at::Context& context = at::globalContext();
    EXPECT_FALSE(context.userEnabledMathSDP());
    EXPECT_EQ(context.userEnabledFlashSDP() + context.userEnabledCuDNNSDP() +
                  context.userEnabledMemEfficientSDP(),
              1);
    const double time = context.userEnabledFlashSDP()   ? flash
                        : context.userEnabledCuDNNSDP() ? cudnn
                                                        : efficient;
    TORCH_CHECK(time > 0, "no kernel for this shape");
    return time;
  };
}

at::SDPBackend first() { return at::globalContext().sDPPriorityOrder()[0]; }

std::string choose(const std::string& attention, const DeviceTimer& timer) {
  return choose_attention(run_config(attention), /*rows=*/2, torch::kCPU, timer);
}

TEST(ChooseAttention, MeasuredIsTheFastestOfThoseThatWork) {
  EXPECT_THAT(choose("measured", times(2e-3, 1e-3, 3e-3)),
              HasSubstr("cudnn (flash 2 ms, cudnn 1 ms, efficient 3 ms"));
  EXPECT_EQ(first(), at::SDPBackend::cudnn_attention);
  EXPECT_THAT(choose("measured", times(2e-3, -1, 3e-3)),
              AllOf(HasSubstr("flash (flash 2 ms"), Not(HasSubstr("cudnn"))));
  EXPECT_EQ(first(), at::SDPBackend::flash_attention);
  // The others stay for shapes that it can't do.
  EXPECT_TRUE(at::globalContext().userEnabledMathSDP());
  EXPECT_TRUE(at::globalContext().userEnabledMemEfficientSDP());
}

TEST(ChooseAttention, ANamedKernelThatCantDoTheShapeIsAnErrorWithTheReason) {
  choose("efficient", times(-1, -1, 1e-3));
  EXPECT_EQ(first(), at::SDPBackend::efficient_attention);
  for (const char* choice : {"flash", "measured"}) {
    try {
      choose(choice, times(-1, -1, -1));
      FAIL() << choice;
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr(choice), HasSubstr("no kernel for this shape"),
                                      HasSubstr("use train.attention=auto")));
    }
  }
}

TEST(ChooseAttention, TimesAForwardAndABackwardPassOfTheRunsShape) {
  RunConfig config = run_config("measured");
  config.data.document_attention = true;
  int64_t runs = 0;
  const auto timer = [&](const std::function<void()>& work) {
    at::globalContext().setSDPUseMath(true);  // what a CPU has
    work();
    ++runs;
    return 1.0;
  };
  choose_attention(config, /*rows=*/2, torch::kCPU, timer);
  EXPECT_EQ(runs, 3);
}

TEST(ChooseAttention, AutoLeavesLibTorchsChoice) {
  const at::SDPBackend before = first();
  EXPECT_EQ(choose("auto", times(-1, -1, -1)), "");
  EXPECT_EQ(first(), before);
}

}  // namespace
}  // namespace fathom
