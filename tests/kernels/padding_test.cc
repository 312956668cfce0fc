// Padding changes no number and no shape: against the same functions without it, in float64.
#include "kernels/padding.h"

#include <gtest/gtest.h>

#include "fathom/base/ignored_target.h"
#include "kernels/cpu/rows.h"
#include "kernels/head_loss.h"
#include "kernels/kernel_fixture.h"

namespace fathom {
namespace {

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

class Padding : public testing::Test {
 protected:
  void SetUp() override { torch::manual_seed(test_seed()); }
  void TearDown() override {
    set_row_kernels(torch::kCPU, &cpu_row_kernels());
    set_kernels(Kernels::automatic);
  }
  static torch::Tensor random(at::IntArrayRef shape) {
    return torch::randn(shape, torch::kBFloat16).to(torch::kFloat64);  // which all types hold
  }
};

TEST_F(Padding, LeavesTheResultsAndGradientsOfAFeedForwardLayer) {
  constexpr int64_t kWidth = 12, kInner = 37, kPadded = 64;
  const FeedForwardFormula all{random({2, 5, kWidth}), random({kInner, kWidth}),
                               random({kInner, kWidth}), random({kWidth, kInner}),
                               random({2, 5, kWidth})};
  const Expected expected = expected_of(all, torch::kFloat64);
  for (const int64_t width : {kPadded, kInner}) {
    std::vector<torch::Tensor> of;
    for (const torch::Tensor& value : {all.x, all.gate, all.up, all.down})
      of.push_back(leaf(value, torch::kFloat64));
    std::vector<torch::Tensor> results = {padded_feed_forward(of[0], of[1], of[2], of[3], width)};
    results[0].backward(all.dy);
    for (const torch::Tensor& value : of) results.push_back(value.grad());
    for (size_t i = 0; i < results.size(); ++i)
      expect_close(cat("result ", i), results[i], expected, i, {torch::kFloat64, kPadded});
  }
}

class PaddedLogits : public Padding {
 protected:
  void expect_the_formula(torch::ScalarType dtype, int64_t stride) const {
    const HeadLoss loss =
        head_loss_by_rows(head_.hidden.to(dtype), head_.weight.to(dtype), head_.target, head_.scale,
                          head_.z_loss, /*needs_gradient=*/true, stride);
    const Expected expected = expected_of(head_, dtype);
    expect_close("loss", loss.loss, expected, 0, {dtype, kRows});
    expect_close("dh", loss.grad_hidden_ND, expected, 1, {dtype, kVocabulary});
    expect_close("dw", loss.grad_weight_VD, expected, 2, {dtype, kRows});
  }

  static constexpr int64_t kVocabulary = 37, kStride = 64, kRows = 40;

 private:
  void SetUp() override {
    Padding::SetUp();
    head_ = {random({kRows, 8}), random({kVocabulary, 8}),
             torch::randint(kVocabulary, {kRows}, torch::kInt64)
                 .masked_fill_(torch::arange(kRows).remainder(3).eq(0), kIgnoredTarget),
             /*scale=*/0.3, /*z_loss=*/0.01};
  }

  HeadFormula head_;
};

TEST_F(PaddedLogits, GiveTheLossAndGradientsOfUnpaddedOnes) {
  for (const int64_t stride : {kVocabulary, kStride}) expect_the_formula(torch::kFloat64, stride);
}

#ifdef FATHOM_EMULATED_CUDA
TEST_F(PaddedLogits, AreReadByTheirStrideInCudasLoops) {
  set_kernels(Kernels::fused);
  set_row_kernels(torch::kCPU, fathom_cuda_row_kernels());
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) expect_the_formula(dtype, kStride);
}
#endif

}  // namespace
}  // namespace fathom
