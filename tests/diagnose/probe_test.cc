#include "fathom/diagnose/probe.h"

#include <gtest/gtest.h>

#include "fathom/base/error.h"
#include "fathom/base/ignored_target.h"
#include "fathom/base/names.h"
#include "model/tiny_model.h"

namespace fathom {
namespace {

torch::Tensor variance_of(Llama& model, const torch::Tensor& input, const torch::Tensor& target) {
  const auto probe = find_row(probes(), "variance", "probe").make();
  probe->observe(model, {input, target, {}});
  return probe->result();
}

TEST(Variance, LeavesOutPositionsWithoutATarget) {
  Llama model = tiny_model(tiny_config());
  const torch::Tensor input = tiny_tokens(3, 6);
  torch::Tensor target = tiny_tokens(3, 6, 2);
  target.narrow(0, 2, 1).fill_(kIgnoredTarget);
  EXPECT_TRUE(at::allclose(variance_of(model, input, target),
                           variance_of(model, input.narrow(0, 0, 2), target.narrow(0, 0, 2))));
}

TEST(Variance, IsOneLessTheSquaredMeanAfterASumNormWithUnitGain) {
  Llama model = tiny_model(tiny_config("post"));
  const torch::Tensor values = variance_of(model, tiny_tokens(2, 6), tiny_tokens(2, 6, 2));
  ASSERT_EQ(values.sizes(), torch::IntArrayRef({4}));
  // RMSNorm leaves a mean square of 1: the variance is that less the square of the mean.
  std::vector<BlockTrace> trace;
  const torch::NoGradGuard no_grad;
  model->hidden(tiny_tokens(2, 6), {.trace = &trace});
  for (int64_t i = 0; i < 4; ++i) {
    const torch::Tensor mean = trace[static_cast<size_t>(i)].feed_forward.output.mean(-1);
    EXPECT_NEAR(values[i].item<double>(), 1 - mean.square().mean().item<double>(), 1e-4) << i;
  }
}

TEST(Measure, AddsUpBatchesAndNeedsATarget) {
  Llama model = tiny_model(tiny_config());
  const torch::Tensor input = tiny_tokens(2, 6), target = tiny_tokens(2, 6, 2);
  const auto batch_of = [&](int64_t begin, int64_t rows) {
    const torch::Tensor in = input.narrow(0, begin, rows), out = target.narrow(0, begin, rows);
    Batch batch;
    batch.rows = rows;
    batch.length = 6;
    batch.targets = 6 * rows;
    batch.input.assign(in.data_ptr<int64_t>(), in.data_ptr<int64_t>() + in.numel());
    batch.target.assign(out.data_ptr<int64_t>(), out.data_ptr<int64_t>() + out.numel());
    return batch;
  };
  int64_t next = 0;
  const auto batches = [&]() -> std::optional<Batch> {
    if (next == 2) return std::nullopt;
    return batch_of(next++, 1);
  };
  const auto probe = find_row(probes(), "variance", "probe").make();
  const Measurement measured = measure(model, *probe, batches, StopFlag());
  EXPECT_EQ(measured.targets, 12);
  EXPECT_TRUE(at::allclose(measured.values, variance_of(model, input, target)));
  EXPECT_THROW(measure(model, *probe, batches, StopFlag()), DataError);  // there are no more
}

}  // namespace
}  // namespace fathom
