// The head's loss against ATen's own in float64, and by hand.
#include "fathom/kernels/linear_cross_entropy.h"

#include <cmath>

#include "fathom/base/ignored_target.h"
#include "kernels/kernel_fixture.h"

namespace fathom {
namespace {

class LossTest : public KernelTest {};

TEST_P(LossTest, LinearCrossEntropyAndItsGradientsMatchAtensLoss) {
  for (const int64_t rows : {1, 300, 1025}) {  // below and just over a chunk of 1024
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
