// Each kernel against plain ATen autograd in float64, the closed form of which PyTorch tests
// itself.
#include <gtest/gtest.h>

#include <cmath>

#include "fathom/base/error.h"
#include "fathom/base/ignored_target.h"
#include "fathom/kernels/choice.h"
#include "fathom/kernels/linear_cross_entropy.h"
#include "fathom/kernels/packed.h"
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

class KernelPrecision : public testing::TestWithParam<std::tuple<Tolerance, Kernels>> {
 protected:
  void SetUp() override {
    torch::manual_seed(7);
    set_kernels(std::get<Kernels>(GetParam()));
  }
  void TearDown() override { set_kernels(Kernels::automatic); }
  double tolerance() const { return std::get<Tolerance>(GetParam()).value; }
  torch::ScalarType dtype() const { return std::get<Tolerance>(GetParam()).dtype; }
  /// The inputs as the kernel sees them, so that rounding them isn't counted as its error.
  torch::Tensor random(at::IntArrayRef shape) const {
    return torch::randn(shape, torch::kFloat64).to(dtype()).to(torch::kFloat64);
  }
  void expect_close(const char* what, const torch::Tensor& value, const torch::Tensor& expected) {
    EXPECT_EQ(value.scalar_type(), dtype()) << what;
    EXPECT_LE(relative_error(value, expected), tolerance()) << what;
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
  for (const int64_t rows : {1, 300, 1025}) {  // below and just over a chunk of 1024
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
    EXPECT_LE(relative_error(loss, loss_ref), tolerance());
    expect_close("dh", h.grad(), h_ref.grad());
    expect_close("dw", w.grad(), w_ref.grad());
  }
}

TEST_P(KernelPrecision, AddRmsNormGivesTheSumAndItsNormAndBothWaysBack) {
  for (const bool uses_sum : {true, false}) {
    const torch::Tensor x64 = random({3, 5, 33}), f64 = random({3, 5, 33}), w64 = random({33});
    const torch::Tensor dsum = random({3, 5, 33}) * (uses_sum ? 1.0 : 0.0), dy = random({3, 5, 33});
    const torch::Tensor x_ref = leaf(x64, torch::kFloat64), f_ref = leaf(f64, torch::kFloat64),
                        w_ref = leaf(w64, torch::kFloat64);
    const torch::Tensor sum_ref = x_ref + f_ref;
    const torch::Tensor y_ref =
        sum_ref / (sum_ref.pow(2).mean(-1, true) + 1e-6).sqrt() * w_ref * 0.5;
    ((sum_ref * dsum).sum() + (y_ref * dy).sum()).backward();
    const torch::Tensor x = leaf(x64, dtype()), f = leaf(f64, dtype()), w = leaf(w64, dtype());
    const NormedSum both = add_rms_norm(x, f, w, 1e-6, 0.5);
    torch::Tensor loss = (both.normed.to(torch::kFloat64) * dy).sum();
    if (uses_sum) loss = loss + (both.sum.to(torch::kFloat64) * dsum).sum();
    loss.backward();
    expect_close("sum", both.sum, sum_ref);
    expect_close("y", both.normed, y_ref);
    expect_close("dx", x.grad(), x_ref.grad());
    expect_close("dupdate", f.grad(), f_ref.grad());
    expect_close("dw", w.grad(), w_ref.grad());
  }
}

TEST_P(KernelPrecision, AddRmsNormPassesOnTheGradientOfASumThatNobodyNorms) {
  const torch::Tensor x = leaf(random({4, 8}), dtype()), f = leaf(random({4, 8}), dtype());
  const torch::Tensor grad = random({4, 8}).to(dtype());
  add_rms_norm(x, f, torch::ones({8}).to(dtype()), 1e-6).sum.backward(grad);
  EXPECT_TRUE(torch::equal(x.grad(), grad));
  EXPECT_TRUE(torch::equal(f.grad(), grad));
}

/// Weights in one block of memory, or each in its own: both must give the same.
torch::Tensor placed(const torch::Tensor& value, const torch::Tensor& memory) {
  const torch::NoGradGuard no_grad;
  memory.copy_(value);
  return memory.detach().set_requires_grad(true);
}

TEST_P(KernelPrecision, SwigluFeedForwardAndItsGradientsMatchTheFormula) {
  const int64_t width = 12, inner = 29;
  const torch::Tensor x64 = random({2, 5, width}), g64 = random({inner, width}),
                      u64 = random({inner, width}), d64 = random({width, inner}),
                      dy = random({2, 5, width});
  const torch::Tensor x_ref = leaf(x64, torch::kFloat64), g_ref = leaf(g64, torch::kFloat64),
                      u_ref = leaf(u64, torch::kFloat64), d_ref = leaf(d64, torch::kFloat64);
  const torch::Tensor gate = x_ref.matmul(g_ref.t());
  const torch::Tensor y_ref =
      (gate / (1 + (-gate).exp()) * x_ref.matmul(u_ref.t())).matmul(d_ref.t());
  y_ref.backward(dy);
  for (const bool adjacent : {true, false}) {
    const auto memory = empty_packed({inner, inner}, width, dtype());
    const torch::Tensor x = leaf(x64, dtype()), d = leaf(d64, dtype()),
                        g = adjacent ? placed(g64, memory[0]) : leaf(g64, dtype()),
                        u = adjacent ? placed(u64, memory[1]) : leaf(u64, dtype());
    const torch::Tensor y = swiglu_feed_forward(x, g, u, d);
    y.backward(dy.to(dtype()));
    expect_close("y", y, y_ref);
    expect_close("dx", x.grad(), x_ref.grad());
    expect_close("dgate", g.grad(), g_ref.grad());
    expect_close("dup", u.grad(), u_ref.grad());
    expect_close("ddown", d.grad(), d_ref.grad());
  }
}

TEST_P(KernelPrecision, ProjectHeadsAndItsGradientsMatchTheFormula) {
  const int64_t batch = 2, time = 5, width = 12, size = 6, half = size / 2;
  const std::vector<int64_t> rows = {4 * size, 2 * size, 2 * size};
  const torch::Tensor angle = torch::rand({time, half}, torch::kFloat64) * 6;
  const auto table = dtype() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  for (const bool adjacent : {true, false}) {
    for (const bool biased : {true, false}) {
      const torch::Tensor x64 = random({batch, time, width});
      const torch::Tensor x_ref = leaf(x64, torch::kFloat64), x = leaf(x64, dtype());
      const auto memory = empty_packed(rows, width, dtype());
      std::vector<HeadProjection> projections;
      std::vector<torch::Tensor> w_ref, b_ref, y_ref, dy;
      for (size_t i = 0; i < rows.size(); ++i) {
        const torch::Tensor w64 = random({rows[i], width}), b64 = random({rows[i]});
        projections.push_back({adjacent ? placed(w64, memory[i]) : leaf(w64, dtype()),
                               biased ? leaf(b64, dtype()) : torch::Tensor()});
        w_ref.push_back(leaf(w64, torch::kFloat64));
        b_ref.push_back(leaf(b64, torch::kFloat64));
        torch::Tensor heads = x_ref.matmul(w_ref[i].t());
        if (biased) heads = heads + b_ref[i];
        heads = heads.view({batch, time, -1, size}).transpose(1, 2);
        if (i < 2) {  // query and key turn
          const torch::Tensor z =
              torch::complex(heads.narrow(-1, 0, half), heads.narrow(-1, half, half)) *
              torch::polar(torch::ones_like(angle), angle);
          heads = torch::cat({torch::real(z), torch::imag(z)}, -1);
        }
        y_ref.push_back(heads);
        dy.push_back(random(heads.sizes()));
      }
      torch::autograd::backward(y_ref, dy);
      const std::vector<torch::Tensor> y =
          project_heads(x, projections, size, angle.cos().to(table), angle.sin().to(table));
      std::vector<torch::Tensor> grads;
      for (const torch::Tensor& grad : dy) grads.push_back(grad.to(dtype()));
      torch::autograd::backward(y, grads);
      expect_close("dx", x.grad(), x_ref.grad());
      for (size_t i = 0; i < rows.size(); ++i) {
        expect_close("y", y[i], y_ref[i]);
        expect_close("dw", projections[i].weight.grad(), w_ref[i].grad());
        if (biased) expect_close("db", projections[i].bias.grad(), b_ref[i].grad());
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, KernelPrecision,
                         testing::Combine(testing::Values(Tolerance{torch::kFloat64, 1e-13},
                                                          Tolerance{torch::kFloat32, 2e-6},
                                                          Tolerance{torch::kBFloat16, 2e-2}),
                                          testing::Values(Kernels::fused, Kernels::reference)),
                         [](const auto& test) {
                           return cat(c10::toString(std::get<Tolerance>(test.param).dtype),
                                      std::get<Kernels>(test.param) == Kernels::fused
                                          ? "Fused"
                                          : "Reference");
                         });

TEST(Packed, IsAViewOfWhatLiesTogetherAndACopyOfWhatDoesNot) {
  const std::vector<torch::Tensor> parts = empty_packed({3, 5}, 4, torch::kFloat32);
  parts[0].fill_(1);
  parts[1].fill_(2);
  const torch::Tensor view = packed(parts);
  EXPECT_EQ(view.sizes(), (std::vector<int64_t>{8, 4}));
  EXPECT_EQ(view.data_ptr(), parts[0].data_ptr());
  EXPECT_EQ(view[3][0].item<float>(), 2);
  const torch::Tensor copy = packed({parts[1], parts[0]});
  EXPECT_NE(copy.data_ptr(), parts[1].data_ptr());
  EXPECT_EQ(copy[0][0].item<float>(), 2);
  EXPECT_EQ(copy[7][0].item<float>(), 1);
}

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
