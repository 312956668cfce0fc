// The head's loss against ATen's own in float64, and by hand.
#include "fathom/kernels/linear_cross_entropy.h"

#include <cmath>

#include "fathom/base/ignored_target.h"
#include "kernels/kernel_fixture.h"

namespace fathom {
namespace {

class LossTest : public KernelTest {
 protected:
  void expect_the_formula(const HeadFormula& head) const {
    const Expected exact = expected(head);
    const torch::Tensor h = given_leaf(head.hidden), w = given_leaf(head.weight);
    // A gradient of 3 comes from what follows, as loss scaling has it.
    const torch::Tensor loss =
        linear_cross_entropy(h, w, head.target.to(device()), head.scale / 3, head.z_loss);
    (loss * 3).backward();
    const int64_t rows = h.size(0), width = h.size(1), vocabulary = w.size(0);
    const auto sums_of = [&](int64_t terms) { return Arithmetic{dtype(), terms}; };
    expect_close("loss", loss * 3, exact, 0, sums_of(std::max(rows, width)));
    expect_close("dh", h.grad(), exact, 1, sums_of(vocabulary));
    expect_close("dw", w.grad(), exact, 2, sums_of(std::max(rows, width)));
    EXPECT_EQ(h.grad().scalar_type(), dtype());
    EXPECT_EQ(w.grad().scalar_type(), dtype());
  }
};

TEST_P(LossTest, LinearCrossEntropyAndItsGradientsMatchAtensLoss) {
  for (const int64_t rows : {int64_t{1}, int64_t{300}, loss_chunk_rows(device()) + 1}) {
    torch::Tensor target = torch::randint(37, {rows}, torch::kInt64);
    if (rows > 1) target.index_put_({torch::arange(0, rows, 3)}, kIgnoredTarget);
    HeadFormula head{random({rows, 16}), random({37, 16}), target, /*scale=*/0.01};
    const torch::Tensor logits = head.hidden.mm(head.weight.t());
    // A loss near 0 would be all rounding.
    if (rows == 1) head.target = logits.argmin(1);
    expect_the_formula(head);
    const torch::Tensor by_aten =
        at::cross_entropy_loss(logits, head.target, {}, at::Reduction::Sum, kIgnoredTarget);
    const double formula = head(Kept())[0].item<double>();
    EXPECT_NEAR(formula, 0.01 * by_aten.item<double>(), 1e-10) << "the formula is another";
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
  expect_the_formula({random({60, 8}), random({71, 8}), torch::randint(71, {60}, torch::kInt64),
                      /*scale=*/1, /*z_loss=*/0.1});
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
    for (const int64_t target : {int64_t{7}, peak})
      expect_the_formula({h64, w64, torch::full({3}, target, torch::kInt64)});
  }
}

TEST_P(LossTest, KeepsTheGradientOfARowThatIsNearlySure) {
  // Logits that every dtype holds; the target's probability is 0.9993.
  const int64_t vocabulary = 1500, target = 1200;
  torch::Tensor w64 = random({vocabulary, 3});
  w64.select(1, 0).zero_();
  w64[target][0] = 14.5;
  expect_the_formula({torch::tensor({{1.0, 0.0, 0.0}}, torch::kFloat64), w64,
                      torch::full({1}, target, torch::kInt64), /*scale=*/1, /*z_loss=*/0,
                      /*exact_logits=*/true});
}

INSTANTIATE_TEST_SUITE_P(Kernels, LossTest, every_version(), name_of_version);

/// Loss and gradient of one row over logits that the row loops see in more than one tile.
void expect_loss_of(const torch::Tensor& logits64, int64_t target, double z_loss) {
  const torch::Tensor h = torch::ones({1, 1});
  const torch::Tensor w = leaf(logits64.unsqueeze(1), torch::kFloat32);
  const HeadFormula head{h, w, torch::tensor({target}, torch::kInt64), /*scale=*/0.5, z_loss};
  const Expected expected = expected_of(head, torch::kFloat32);
  const torch::Tensor loss = linear_cross_entropy(h, w, head.target, head.scale, z_loss);
  loss.backward();
  expect_close("loss", loss, expected, 0, {torch::kFloat32, /*terms=*/1});
  expect_close("dw", w.grad(), expected, 2, {torch::kFloat32, /*terms=*/1});
}

TEST(LinearCrossEntropy, HoldsOverSeveralTilesWhereverTheLargestLogitIs) {
  torch::manual_seed(test_seed());
  for (const int64_t vocabulary : {2047, 2048, 2049, 7001}) {
    const torch::Tensor logits = torch::randn({vocabulary}, torch::kFloat64);
    for (const double peak : {5.0, 39.0, 41.0, 80.0, 300.0}) {
      for (const int64_t at : {int64_t{0}, vocabulary / 2, vocabulary - 1}) {
        if (!runs_case()) continue;
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
