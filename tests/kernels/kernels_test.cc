// Each kernel against plain ATen autograd in float64, the closed form of which PyTorch tests
// itself.
#include <cmath>

#include "fathom/kernels/cuda_library.h"
#include "fathom/kernels/packed.h"
#include "fathom/kernels/rms_norm.h"
#include "fathom/kernels/rope.h"
#include "fathom/kernels/swiglu.h"
#include "kernels/kernel_fixture.h"

namespace fathom {
namespace {

TEST_P(KernelTest, RmsNormAndItsGradientsMatchTheFormula) {
  for (const int64_t dim : {1, 7, 64, 771}) {
    const int64_t rows = dim == 771 ? 100 : 5;  // enough for several threads
    const torch::Tensor x64 = random({3, rows, dim}), w64 = random({dim}),
                        dy = random({3, rows, dim});
    const double eps = 1e-6, scale = 1 / std::sqrt(3.0);
    const torch::Tensor x_ref = leaf(x64, torch::kFloat64), w_ref = leaf(w64, torch::kFloat64);
    const torch::Tensor y_ref = x_ref / (x_ref.pow(2).mean(-1, true) + eps).sqrt() * w_ref * scale;
    y_ref.backward(dy);
    const torch::Tensor x = given_leaf(x64), w = given_leaf(w64);
    const torch::Tensor y = rms_norm(x, w, eps, scale);
    y.backward(given(dy));
    expect_close("y", y, y_ref);
    expect_close("dw", w.grad(), w_ref.grad());
    if (dim > 1) expect_close("dx", x.grad(), x_ref.grad());  // dim 1: dx is eps-sized noise
  }
}

TEST_P(KernelTest, SwigluAndItsGradientsMatchTheFormula) {
  const torch::Tensor g64 = random({4, 33}), u64 = random({4, 33}), dy = random({4, 33});
  const torch::Tensor g_ref = leaf(g64, torch::kFloat64), u_ref = leaf(u64, torch::kFloat64);
  const torch::Tensor y_ref = g_ref / (1 + (-g_ref).exp()) * u_ref;
  y_ref.backward(dy);
  const torch::Tensor g = given_leaf(g64), u = given_leaf(u64);
  const torch::Tensor y = swiglu(g, u);
  y.backward(given(dy));
  expect_close("y", y, y_ref);
  expect_close("dgate", g.grad(), g_ref.grad());
  expect_close("dup", u.grad(), u_ref.grad());
}

TEST_P(KernelTest, RopeRotatesComplexPairs) {
  const torch::Tensor x64 = random({2, 3, 5, 8}), dy = random({2, 3, 5, 8});
  const torch::Tensor angle = torch::rand({5, 4}, torch::kFloat64) * 6;
  // Oracle: channels (i, i + 4) as one complex number, multiplied by exp(i angle).
  const torch::Tensor x_ref = leaf(x64, torch::kFloat64);
  const torch::Tensor z = torch::complex(x_ref.narrow(-1, 0, 4), x_ref.narrow(-1, 4, 4)) *
                          torch::polar(torch::ones_like(angle), angle);
  const torch::Tensor y_ref = torch::cat({torch::real(z), torch::imag(z)}, -1);
  y_ref.backward(dy);
  const torch::Tensor x = given_leaf(x64);
  const torch::Tensor y =
      apply_rope(x, angle.cos().to(device(), wide()), angle.sin().to(device(), wide()));
  y.backward(given(dy));
  expect_close("y", y, y_ref);
  expect_close("dx", x.grad(), x_ref.grad());
}

TEST_P(KernelTest, AddRmsNormGivesTheSumAndItsNormAndBothWaysBack) {
  for (const bool uses_sum : {true, false}) {
    const torch::Tensor x64 = random({3, 5, 33}), f64 = random({3, 5, 33}), w64 = random({33});
    const torch::Tensor dsum = random({3, 5, 33}) * (uses_sum ? 1.0 : 0.0), dy = random({3, 5, 33});
    const torch::Tensor x_ref = leaf(x64, torch::kFloat64), f_ref = leaf(f64, torch::kFloat64),
                        w_ref = leaf(w64, torch::kFloat64);
    const torch::Tensor sum_ref = x_ref + f_ref;
    const torch::Tensor y_ref =
        sum_ref / (sum_ref.pow(2).mean(-1, true) + 1e-6).sqrt() * w_ref * 0.5;
    ((sum_ref * dsum).sum() + (y_ref * dy).sum()).backward();
    const torch::Tensor x = given_leaf(x64), f = given_leaf(f64), w = given_leaf(w64);
    const NormedSum both = add_rms_norm(x, f, w, 1e-6, 0.5);
    torch::Tensor loss = (both.normed.cpu().to(torch::kFloat64) * dy).sum();
    if (uses_sum) loss = loss + (both.sum.cpu().to(torch::kFloat64) * dsum).sum();
    loss.backward();
    expect_close("sum", both.sum, sum_ref);
    expect_close("y", both.normed, y_ref);
    expect_close("dx", x.grad(), x_ref.grad());
    expect_close("dupdate", f.grad(), f_ref.grad());
    expect_close("dw", w.grad(), w_ref.grad());
  }
}

TEST_P(KernelTest, AddRmsNormPassesOnTheGradientOfASumThatNobodyNorms) {
  const torch::Tensor x = given_leaf(random({4, 8})), f = given_leaf(random({4, 8}));
  const torch::Tensor grad = given(random({4, 8}));
  add_rms_norm(x, f, given(torch::ones({8})), 1e-6).sum.backward(grad);
  EXPECT_TRUE(torch::equal(x.grad(), grad));
  EXPECT_TRUE(torch::equal(f.grad(), grad));
}

/// Weights in one block of memory, or each in its own: both must give the same.
torch::Tensor placed(const torch::Tensor& value, const torch::Tensor& memory) {
  const torch::NoGradGuard no_grad;
  memory.copy_(value);
  return memory.detach().set_requires_grad(true);
}

TEST_P(KernelTest, SwigluFeedForwardAndItsGradientsMatchTheFormula) {
  const int64_t width = 12, inner = 129;
  const torch::Tensor x64 = random({2, 150, width}), g64 = random({inner, width}),
                      u64 = random({inner, width}), d64 = random({width, inner}),
                      dy = random({2, 150, width});
  const torch::Tensor x_ref = leaf(x64, torch::kFloat64), g_ref = leaf(g64, torch::kFloat64),
                      u_ref = leaf(u64, torch::kFloat64), d_ref = leaf(d64, torch::kFloat64);
  const torch::Tensor gate = x_ref.matmul(g_ref.t());
  const torch::Tensor y_ref =
      (gate / (1 + (-gate).exp()) * x_ref.matmul(u_ref.t())).matmul(d_ref.t());
  y_ref.backward(dy);
  for (const bool adjacent : {true, false}) {
    const auto memory = empty_packed({inner, inner}, width, options());
    const torch::Tensor x = given_leaf(x64), d = given_leaf(d64),
                        g = adjacent ? placed(g64, memory[0]) : given_leaf(g64),
                        u = adjacent ? placed(u64, memory[1]) : given_leaf(u64);
    const torch::Tensor y = swiglu_feed_forward(x, g, u, d);
    y.backward(given(dy));
    expect_close("y", y, y_ref);
    expect_close("dx", x.grad(), x_ref.grad());
    expect_close("dgate", g.grad(), g_ref.grad());
    expect_close("dup", u.grad(), u_ref.grad());
    expect_close("ddown", d.grad(), d_ref.grad());
  }
}

TEST_P(KernelTest, ProjectHeadsAndItsGradientsMatchTheFormula) {
  const int64_t batch = 2, time = 300, width = 12, size = 10, half = size / 2;
  const std::vector<int64_t> rows = {4 * size, 2 * size, 2 * size};
  const torch::Tensor angle = torch::rand({time, half}, torch::kFloat64) * 6;
  for (const bool adjacent : {true, false}) {
    for (const bool biased : {true, false}) {
      const torch::Tensor x64 = random({batch, time, width});
      const torch::Tensor x_ref = leaf(x64, torch::kFloat64), x = given_leaf(x64);
      const auto memory = empty_packed(rows, width, options());
      std::vector<HeadProjection> projections;
      std::vector<torch::Tensor> w_ref, b_ref, y_ref, dy;
      for (size_t i = 0; i < rows.size(); ++i) {
        const torch::Tensor w64 = random({rows[i], width}), b64 = random({rows[i]});
        projections.push_back({adjacent ? placed(w64, memory[i]) : given_leaf(w64),
                               biased ? given_leaf(b64) : torch::Tensor()});
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
      const std::vector<torch::Tensor> y = project_heads(
          x, projections, size, angle.cos().to(device(), wide()), angle.sin().to(device(), wide()));
      std::vector<torch::Tensor> grads;
      for (const torch::Tensor& grad : dy) grads.push_back(given(grad));
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

INSTANTIATE_TEST_SUITE_P(Kernels, KernelTest, every_version(), name_of_version);

TEST(KernelsOnAGpu, AreTestedWhereThereIsOne) {
  if (!has_gpu())
    GTEST_SKIP() << "no GPU here: the tests of kernels ran on the CPU and in an emulator";
  ASSERT_NE(cuda_library().library, nullptr) << cuda_library().problem;
  EXPECT_NE(cuda_library().library->row_kernels, nullptr) << "built without nvcc";
}

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
