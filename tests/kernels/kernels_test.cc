// Each kernel against plain ATen autograd in float64, the closed form of which PyTorch tests
// itself.
#include <gtest/gtest.h>

#include <cmath>

#include "fathom/base/error.h"
#include "fathom/base/ignored_target.h"
#include "fathom/kernels/linear_cross_entropy.h"
#include "fathom/kernels/rms_norm.h"
#include "fathom/kernels/rope.h"
#include "fathom/kernels/swiglu.h"

namespace fathom {
namespace {

torch::Tensor leaf(const torch::Tensor& value, torch::ScalarType dtype) {
  return value.detach().to(dtype).clone().set_requires_grad(true);
}

double relative_error(const torch::Tensor& value, const torch::Tensor& expected) {
  return ((value.to(torch::kFloat64) - expected).norm() / expected.norm().clamp_min(1e-300))
      .item<double>();
}

struct Tolerance {
  torch::ScalarType dtype;
  double value;
};

class KernelPrecision : public testing::TestWithParam<Tolerance> {
 protected:
  void SetUp() override { torch::manual_seed(7); }
  torch::ScalarType dtype() const { return GetParam().dtype; }
  /// The inputs as the kernel sees them, so that rounding them isn't counted as its error.
  torch::Tensor random(at::IntArrayRef shape) const {
    return torch::randn(shape, torch::kFloat64).to(dtype()).to(torch::kFloat64);
  }
  void expect_close(const char* what, const torch::Tensor& value, const torch::Tensor& expected) {
    EXPECT_EQ(value.scalar_type(), dtype()) << what;
    EXPECT_LE(relative_error(value, expected), GetParam().value) << what;
  }
};

TEST_P(KernelPrecision, RmsNormAndItsGradientsMatchTheFormula) {
  for (const int64_t dim : {1, 7, 64, 771}) {
    const torch::Tensor x64 = random({3, 5, dim}), w64 = random({dim}), dy = random({3, 5, dim});
    const double eps = 1e-6, scale = 1 / std::sqrt(3.0);
    const torch::Tensor x_ref = leaf(x64, torch::kFloat64), w_ref = leaf(w64, torch::kFloat64);
    const torch::Tensor y_ref = x_ref / (x_ref.pow(2).mean(-1, true) + eps).sqrt() * w_ref * scale;
    y_ref.backward(dy);
    const torch::Tensor x = leaf(x64, dtype()), w = leaf(w64, dtype());
    const torch::Tensor y = rms_norm(x, w, eps, scale);
    y.backward(dy.to(dtype()));
    expect_close("y", y, y_ref);
    expect_close("dw", w.grad(), w_ref.grad());
    if (dim > 1) expect_close("dx", x.grad(), x_ref.grad());  // dim 1: dx is eps-sized noise
  }
}

TEST_P(KernelPrecision, SwigluAndItsGradientsMatchTheFormula) {
  const torch::Tensor g64 = random({4, 33}), u64 = random({4, 33}), dy = random({4, 33});
  const torch::Tensor g_ref = leaf(g64, torch::kFloat64), u_ref = leaf(u64, torch::kFloat64);
  const torch::Tensor y_ref = g_ref / (1 + (-g_ref).exp()) * u_ref;
  y_ref.backward(dy);
  const torch::Tensor g = leaf(g64, dtype()), u = leaf(u64, dtype());
  const torch::Tensor y = swiglu(g, u);
  y.backward(dy.to(dtype()));
  expect_close("y", y, y_ref);
  expect_close("dgate", g.grad(), g_ref.grad());
  expect_close("dup", u.grad(), u_ref.grad());
}

TEST_P(KernelPrecision, RopeRotatesComplexPairs) {
  const torch::Tensor x64 = random({2, 3, 5, 8}), dy = random({2, 3, 5, 8});
  const torch::Tensor angle = torch::rand({5, 4}, torch::kFloat64) * 6;
  // Oracle: channels (i, i + 4) as one complex number, multiplied by exp(i angle).
  const torch::Tensor x_ref = leaf(x64, torch::kFloat64);
  const torch::Tensor z = torch::complex(x_ref.narrow(-1, 0, 4), x_ref.narrow(-1, 4, 4)) *
                          torch::polar(torch::ones_like(angle), angle);
  const torch::Tensor y_ref = torch::cat({torch::real(z), torch::imag(z)}, -1);
  y_ref.backward(dy);
  const torch::Tensor x = leaf(x64, dtype());
  const auto table = dtype() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const torch::Tensor y = apply_rope(x, angle.cos().to(table), angle.sin().to(table));
  y.backward(dy.to(dtype()));
  expect_close("y", y, y_ref);
  expect_close("dx", x.grad(), x_ref.grad());
}

TEST_P(KernelPrecision, LinearCrossEntropyAndItsGradientsMatchAtensLoss) {
  for (const int64_t rows : {1, 300, 513}) {  // below, across and just over a chunk of 256
    const torch::Tensor h64 = random({rows, 16}), w64 = random({37, 16});
    torch::Tensor target = torch::randint(37, {rows}, torch::kInt64);
    if (rows > 1) target.index_put_({torch::arange(0, rows, 3)}, kIgnoredTarget);
    const double scale = 0.01;
    const torch::Tensor h_ref = leaf(h64, torch::kFloat64), w_ref = leaf(w64, torch::kFloat64);
    const torch::Tensor loss_ref = at::cross_entropy_loss(h_ref.mm(w_ref.t()), target, {},
                                                          at::Reduction::Sum, kIgnoredTarget) *
                                   scale;
    (loss_ref * 3).backward();
    const torch::Tensor h = leaf(h64, dtype()), w = leaf(w64, dtype());
    const torch::Tensor loss = linear_cross_entropy(h, w, target, scale);
    (loss * 3).backward();
    EXPECT_LE(relative_error(loss, loss_ref), GetParam().value);
    expect_close("dh", h.grad(), h_ref.grad());
    expect_close("dw", w.grad(), w_ref.grad());
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, KernelPrecision,
                         testing::Values(Tolerance{torch::kFloat64, 1e-13},
                                         Tolerance{torch::kFloat32, 2e-6},
                                         Tolerance{torch::kBFloat16, 2e-2}),
                         [](const auto& test) { return c10::toString(test.param.dtype); });

TEST(LinearCrossEntropy, IsZeroAndHasZeroGradientsWhenEveryRowIsIgnored) {
  const torch::Tensor h = torch::randn({5, 4}).set_requires_grad(true);
  const torch::Tensor w = torch::randn({9, 4}).set_requires_grad(true);
  const torch::Tensor loss =
      linear_cross_entropy(h, w, torch::full({5}, kIgnoredTarget, torch::kInt64), 1.0);
  loss.backward();
  EXPECT_EQ(loss.item<float>(), 0.0F);
  EXPECT_EQ(h.grad().abs().max().item<float>(), 0.0F);
  EXPECT_EQ(w.grad().abs().max().item<float>(), 0.0F);
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

TEST(RmsNorm, GivesTheSameBitsForTheSameThreadsAndCloseOnesForOthers) {
  torch::manual_seed(1);
  const torch::Tensor x0 = torch::randn({40, 96}), w0 = torch::randn({96}),
                      dy = torch::randn({40, 96});
  const auto weight_gradient = [&](int threads) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    const torch::Tensor x = leaf(x0, torch::kFloat32), w = leaf(w0, torch::kFloat32);
    rms_norm(x, w, 1e-6).backward(dy);
    at::set_num_threads(before);
    return w.grad();
  };
  EXPECT_TRUE(torch::equal(weight_gradient(2), weight_gradient(2)));
  EXPECT_TRUE(torch::allclose(weight_gradient(1), weight_gradient(2), 1e-5, 1e-6));
}

TEST(RmsNorm, NamesTheArgumentWithTheWrongShape) {
  EXPECT_THROW(rms_norm(torch::ones({2, 4}), torch::ones({3}), 1e-6), ShapeError);
}

}  // namespace
}  // namespace fathom
