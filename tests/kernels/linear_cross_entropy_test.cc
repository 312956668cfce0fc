// The head's loss against ATen's own in float64, and by hand.
#include "fathom/kernels/linear_cross_entropy.h"

#include <cmath>

#include "fathom/base/ignored_target.h"
#include "kernels/kernel_fixture.h"

namespace fathom {
namespace {

class LossTest : public KernelTest {};

TEST_P(LossTest, LinearCrossEntropyAndItsGradientsMatchAtensLoss) {
  for (const int64_t rows : {int64_t{1}, int64_t{300}, loss_chunk_rows(device()) + 1}) {
    const torch::Tensor h64 = random({rows, 16}), w64 = random({37, 16});
    torch::Tensor target = torch::randint(37, {rows}, torch::kInt64);
    if (rows > 1) target.index_put_({torch::arange(0, rows, 3)}, kIgnoredTarget);
    // A loss near 0 would be all rounding.
    if (rows == 1) target = h64.mm(w64.t()).argmin(1);
    const double scale = 0.01;
    const torch::Tensor h_ref = leaf(h64, torch::kFloat64), w_ref = leaf(w64, torch::kFloat64);
    const torch::Tensor loss_ref = at::cross_entropy_loss(h_ref.mm(w_ref.t()), target, {},
                                                          at::Reduction::Sum, kIgnoredTarget) *
                                   scale;
    (loss_ref * 3).backward();
    const torch::Tensor h = given_leaf(h64), w = given_leaf(w64);
    const torch::Tensor loss = linear_cross_entropy(h, w, target.to(device()), scale);
    (loss * 3).backward();
    EXPECT_LE(relative_error(loss, loss_ref), tolerance());
    expect_close("dh", h.grad(), h_ref.grad());
    expect_close("dw", w.grad(), w_ref.grad());
  }
}

TEST_P(LossTest, IsZeroAndHasZeroGradientsWhenEveryRowIsIgnored) {
  const torch::Tensor h = given_leaf(random({5, 4})), w = given_leaf(random({9, 4}));
  const torch::Tensor target = torch::full({5}, kIgnoredTarget, torch::kInt64).to(device());
  const torch::Tensor loss = linear_cross_entropy(h, w, target, 1.0);
  loss.backward();
  EXPECT_EQ(loss.item<float>(), 0.0F);
  EXPECT_EQ(h.grad().abs().max().item<float>(), 0.0F);
  EXPECT_EQ(w.grad().abs().max().item<float>(), 0.0F);
}

TEST_P(LossTest, AddsTheSquareOfTheLogOfTheSum) {
  const torch::Tensor h64 = random({60, 8}), w64 = random({71, 8});
  const torch::Tensor target = torch::randint(71, {60}, torch::kInt64);
  const torch::Tensor h_ref = leaf(h64, torch::kFloat64), w_ref = leaf(w64, torch::kFloat64);
  const torch::Tensor logits = h_ref.mm(w_ref.t()), log_sum = logits.logsumexp(1);
  const torch::Tensor loss_ref =
      (log_sum - logits.gather(1, target.unsqueeze(1)).squeeze(1) + 0.1 * log_sum.square()).sum();
  loss_ref.backward();
  const torch::Tensor h = given_leaf(h64), w = given_leaf(w64);
  const torch::Tensor loss = linear_cross_entropy(h, w, target.to(device()), 1.0, 0.1);
  loss.backward();
  EXPECT_LE(relative_error(loss, loss_ref), tolerance());
  expect_close("dh", h.grad(), h_ref.grad());
  expect_close("dw", w.grad(), w_ref.grad());
}

TEST_P(LossTest, ScalesDownWhatItSummedWhenALaterLogitIsFarAbove) {
  if (dtype() == torch::kBFloat16) return;  // which can't hold such logits well enough to compare
  const int64_t vocabulary = 3100;          // tiles of 1,024
  for (const int64_t peak : {int64_t{5}, int64_t{2000}, vocabulary - 1}) {
    // The second of three rows meets a logit of 60 at `peak`, the others don't.
    torch::Tensor h64 = random({3, 4}), w64 = random({vocabulary, 4});
    h64.select(1, 0).copy_(torch::tensor({0.0, 30.0, 0.0}));
    w64.select(1, 0).zero_();
    w64[peak][0] = 2.0;
    for (const int64_t target : {int64_t{7}, peak}) {
      const torch::Tensor targets = torch::full({3}, target, torch::kInt64);
      const torch::Tensor h_ref = leaf(h64, torch::kFloat64), w_ref = leaf(w64, torch::kFloat64);
      const torch::Tensor loss_ref =
          at::cross_entropy_loss(h_ref.mm(w_ref.t()), targets, {}, at::Reduction::Sum);
      loss_ref.backward();
      const torch::Tensor h = given_leaf(h64), w = given_leaf(w64);
      const torch::Tensor loss = linear_cross_entropy(h, w, targets.to(device()), 1.0);
      loss.backward();
      EXPECT_LE(relative_error(loss, loss_ref), tolerance());
      expect_close("dh", h.grad(), h_ref.grad());
      expect_close("dw", w.grad(), w_ref.grad());
    }
  }
}

TEST_P(LossTest, KeepsTheGradientOfARowThatIsNearlySure) {
  // Logits that every dtype holds; the target's probability is 0.9993.
  const int64_t vocabulary = 1500, target = 1200;
  torch::Tensor h64 = torch::tensor({{1.0, 0.0, 0.0}}, torch::kFloat64);
  torch::Tensor w64 = random({vocabulary, 3});
  w64.select(1, 0).zero_();
  w64[target][0] = 14.5;
  const torch::Tensor targets = torch::full({1}, target, torch::kInt64);
  const torch::Tensor h_ref = leaf(h64, torch::kFloat64), w_ref = leaf(w64, torch::kFloat64);
  at::cross_entropy_loss(h_ref.mm(w_ref.t()), targets, {}, at::Reduction::Sum).backward();
  const torch::Tensor h = given_leaf(h64), w = given_leaf(w64);
  linear_cross_entropy(h, w, targets.to(device()), 1.0).backward();
  // 1 - p is what is left of two numbers near 1: float32 keeps less of it.
  const double left = dtype() == torch::kFloat32 ? 1e-3 : tolerance() / (1 - 0.9993);
  const double bound = dtype() == torch::kBFloat16 ? 5e-2 : left;
  EXPECT_LE(relative_error(h.grad(), h_ref.grad()), bound);
  EXPECT_LE(relative_error(w.grad(), w_ref.grad()), bound);
}

INSTANTIATE_TEST_SUITE_P(Kernels, LossTest, every_version(), name_of_version);

/// Loss and gradients of one row against float64, over logits that the row loops see in more than
/// one tile.
void expect_loss_of(const torch::Tensor& logits64, int64_t target, double z_loss) {
  const torch::Tensor h = torch::ones({1, 1}).set_requires_grad(true);
  const torch::Tensor w = leaf(logits64.unsqueeze(1), torch::kFloat32);
  const torch::Tensor classes = torch::tensor({target}, torch::kInt64);
  const torch::Tensor loss = linear_cross_entropy(h, w, classes, 0.5, z_loss);
  loss.backward();
  const torch::Tensor w_ref = leaf(w, torch::kFloat64);
  const torch::Tensor log_sum = torch::logsumexp(w_ref.squeeze(1), 0);
  const torch::Tensor loss_ref = 0.5 * (log_sum - w_ref[target][0] + z_loss * log_sum * log_sum);
  loss_ref.backward();
  EXPECT_LE(relative_error(loss, loss_ref), 2e-6);
  EXPECT_LE(relative_error(w.grad(), w_ref.grad()), 4e-6);
}

TEST(LinearCrossEntropy, HoldsOverSeveralTilesWhereverTheLargestLogitIs) {
  torch::manual_seed(3);
  for (const int64_t vocabulary : {2047, 2048, 2049, 7001}) {
    const torch::Tensor logits = torch::randn({vocabulary}, torch::kFloat64);
    for (const double peak : {5.0, 39.0, 41.0, 80.0, 300.0}) {
      for (const int64_t at : {int64_t{0}, vocabulary / 2, vocabulary - 1}) {
        torch::Tensor raised = logits.clone();
        raised[at] = peak;
        expect_loss_of(raised, vocabulary / 3, 0.0);
        expect_loss_of(raised, at, 1e-3);
      }
    }
    expect_loss_of(logits - 500, 1, 0.0);
    expect_loss_of(torch::linspace(-100, 100, vocabulary, torch::kFloat64), 7, 1e-4);
  }
}

TEST(LinearCrossEntropy, RefusesAClassThatThereIsNot) {
  const torch::Tensor h = torch::ones({2, 3}), w = torch::ones({5, 3});
  for (const int64_t bad : {int64_t{-1}, int64_t{5}, int64_t{2000}})
    EXPECT_THROW(linear_cross_entropy(h, w, torch::tensor({0L, bad}, torch::kInt64), 1.0),
                 std::out_of_range);
}

TEST(LinearCrossEntropy, HoldsForLogitsThatAreFarApartAndPassesNanOn) {
  const torch::Tensor weight = torch::tensor({{300.0}, {-300.0}, {0.0}, {299.0}});
  const torch::Tensor target = torch::tensor({1, 0}, torch::kInt64);
  torch::Tensor hidden = torch::tensor({{1.0}, {1.0}});
  const double expected = 600 + 2 * std::log1p(std::exp(-1.0));  // of both rows, by hand
  EXPECT_NEAR(linear_cross_entropy(hidden, weight, target, 1.0).item<double>(), expected, 1e-3);
  for (const double bad : {NAN, INFINITY}) {
    hidden[1][0] = bad;
    EXPECT_FALSE(std::isfinite(linear_cross_entropy(hidden, weight, target, 1.0).item<double>()));
  }
}

}  // namespace
}  // namespace fathom
