// Padding changes no number and no shape: against the same functions without it, in float64.
#include "kernels/padding.h"

#include <gtest/gtest.h>

#include "fathom/base/ignored_target.h"
#include "kernels/kernel_fixture.h"

namespace fathom {
namespace {

constexpr double kExact = 1e-13;

torch::TensorOptions on(torch::DeviceType device, torch::ScalarType dtype) {
  return torch::TensorOptions(dtype).device(device);
}

TEST(PaddedWidth, IsAMultipleOf64ForUnalignedRowsOf16BitsOnAGpu) {
  EXPECT_EQ(padded_width(5461, on(torch::kCUDA, torch::kBFloat16)), 5504);
  EXPECT_EQ(padded_width(32100, on(torch::kCUDA, torch::kBFloat16)), 32128);
  EXPECT_EQ(padded_width(1368, on(torch::kCUDA, torch::kBFloat16)), 1368);  // 16 bytes fit
  EXPECT_EQ(padded_width(5461, on(torch::kCUDA, torch::kFloat32)), 5461);
  EXPECT_EQ(padded_width(5461, on(torch::kCPU, torch::kBFloat16)), 5461);
}

torch::Tensor random(at::IntArrayRef shape) { return torch::randn(shape, torch::kFloat64); }

void expect_equal(const torch::Tensor& padded, const torch::Tensor& plain) {
  EXPECT_EQ(padded.sizes(), plain.sizes());
  EXPECT_EQ(padded.scalar_type(), plain.scalar_type());
  EXPECT_LE(relative_error(padded, plain), kExact);
}

TEST(PaddedFeedForward, HasTheResultsAndGradientsOfTheUnpaddedOne) {
  constexpr int64_t kWidth = 12, kInner = 37, kPadded = 64;
  const torch::Tensor x = random({2, 5, kWidth}), gate = random({kInner, kWidth}),
                      up = random({kInner, kWidth}), down = random({kWidth, kInner}),
                      weights = random({2, 5, kWidth});
  std::vector<std::vector<torch::Tensor>> results;
  for (const int64_t width : {kPadded, kInner}) {
    std::vector<torch::Tensor> of;
    for (const torch::Tensor& value : {x, gate, up, down})
      of.push_back(leaf(value, torch::kFloat64));
    const torch::Tensor y = padded_feed_forward(of[0], of[1], of[2], of[3], width);
    (y * weights).sum().backward();
    results.push_back({y.detach()});
    for (const torch::Tensor& value : of) {
      EXPECT_EQ(value.grad().sizes(), value.sizes());
      results.back().push_back(value.grad());
    }
  }
  for (size_t i = 0; i < results[0].size(); ++i) expect_equal(results[0][i], results[1][i]);
}

constexpr int64_t kVocabulary = 37, kStride = 64;

struct HeadInputs {
  static constexpr int64_t kRows = 40;
  torch::Tensor hidden = random({kRows, 8}), weight = random({kVocabulary, 8});
  torch::Tensor target = torch::randint(kVocabulary, {kRows}, torch::kInt64)
                             .masked_fill_(torch::arange(kRows).remainder(3).eq(0), kIgnoredTarget);

  HeadLoss loss(torch::ScalarType dtype, int64_t stride) const {
    return head_loss_by_rows(hidden.to(dtype), weight.to(dtype), target, /*scale=*/0.3,
                             /*z_loss=*/0.01, /*needs_gradient=*/true, stride);
  }
};

TEST(PaddedLogits, GiveTheLossAndGradientsOfUnpaddedOnes) {
  const HeadInputs inputs;
  const HeadLoss plain = inputs.loss(torch::kFloat64, kVocabulary);
  const HeadLoss padded = inputs.loss(torch::kFloat64, kStride);
  expect_equal(padded.loss, plain.loss);
  expect_equal(padded.grad_hidden_ND, plain.grad_hidden_ND);
  expect_equal(padded.grad_weight_VD, plain.grad_weight_VD);
}

#ifdef FATHOM_EMULATED_CUDA
TEST(PaddedLogits, AreReadByTheirStrideInCudasLoops) {
  set_kernels(Kernels::fused);
  set_row_kernels(torch::kCPU, fathom_cuda_row_kernels());
  const HeadInputs inputs;
  const HeadLoss plain = inputs.loss(torch::kFloat64, kVocabulary);
  for (const auto& [dtype, tolerance] :
       {std::pair(torch::kFloat32, 1e-5), {torch::kBFloat16, 3e-2}}) {
    const HeadLoss padded = inputs.loss(dtype, kStride);
    EXPECT_LE(relative_error(padded.loss, plain.loss), tolerance);
    EXPECT_LE(relative_error(padded.grad_hidden_ND, plain.grad_hidden_ND), tolerance);
    EXPECT_LE(relative_error(padded.grad_weight_VD, plain.grad_weight_VD), tolerance);
  }
  set_row_kernels(torch::kCPU, &cpu_row_kernels());
  set_kernels(Kernels::automatic);
}
#endif

}  // namespace
}  // namespace fathom
