// Each kernel against plain ATen autograd in float64, the closed form of which PyTorch tests
// itself.
#include <cmath>

#include "fathom/kernels/cuda_library.h"
#include "fathom/kernels/internal/packed.h"
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
    // Without an eps, y of one channel is the sign of x, and dx is rounding.
    const double eps = dim == 1 ? 0.5 : 1e-6, scale = 1 / std::sqrt(3.0);
    const Expected exact = expected([&](const Kept& kept) -> std::vector<torch::Tensor> {
      const torch::Tensor x = leaf(x64, torch::kFloat64), w = leaf(w64, torch::kFloat64);
      const torch::Tensor y = rms_norm_formula(kept, kept(x), kept(w), eps, scale);
      y.backward(dy);
      return {y, x.grad(), w.grad()};
    });
    const torch::Tensor x = given_leaf(x64), w = given_leaf(w64);
    const torch::Tensor y = rms_norm(x, w, eps, scale);
    y.backward(given(dy));
    expect_all_close({"y", "dx", "dw"}, {y, x.grad(), w.grad()}, exact, 3 * rows + dim);
  }
}

TEST_P(KernelTest, SwigluAndItsGradientsMatchTheFormula) {
  const torch::Tensor g64 = random({4, 33}), u64 = random({4, 33}), dy = random({4, 33});
  const Expected exact = expected([&](const Kept& kept) -> std::vector<torch::Tensor> {
    const torch::Tensor g = leaf(g64, torch::kFloat64), u = leaf(u64, torch::kFloat64);
    const torch::Tensor y = swiglu_formula(kept, kept(g), kept(u));
    y.backward(dy);
    return {y, g.grad(), u.grad()};
  });
  const torch::Tensor g = given_leaf(g64), u = given_leaf(u64);
  const torch::Tensor y = swiglu(g, u);
  y.backward(given(dy));
  expect_all_close({"y", "dgate", "dup"}, {y, g.grad(), u.grad()}, exact, 1);
}

TEST_P(KernelTest, RopeRotatesComplexPairs) {
  const torch::Tensor x64 = random({2, 3, 5, 8}), dy = random({2, 3, 5, 8});
  const torch::Tensor angle = torch::rand({5, 4}, torch::kFloat64) * 6;
  const Expected exact = expected([&](const Kept& kept) -> std::vector<torch::Tensor> {
    const torch::Tensor x = leaf(x64, torch::kFloat64);
    const torch::Tensor y = rope_formula(kept, kept(x), angle);
    y.backward(dy);
    return {y, x.grad()};
  });
  const torch::Tensor x = given_leaf(x64);
  const torch::Tensor y =
      apply_rope(x, angle.cos().to(device(), wide()), angle.sin().to(device(), wide()));
  y.backward(given(dy));
  expect_all_close({"y", "dx"}, {y, x.grad()}, exact, 2);
}

TEST_P(KernelTest, AddRmsNormGivesTheSumAndItsNormAndBothWaysBack) {
  for (const bool uses_sum : {true, false}) {
    const torch::Tensor x64 = random({3, 5, 33}), f64 = random({3, 5, 33}), w64 = random({33});
    const torch::Tensor dsum = random({3, 5, 33}) * (uses_sum ? 1.0 : 0.0), dy = random({3, 5, 33});
    const Expected exact = expected([&](const Kept& kept) -> std::vector<torch::Tensor> {
      const torch::Tensor x = leaf(x64, torch::kFloat64), f = leaf(f64, torch::kFloat64),
                          w = leaf(w64, torch::kFloat64);
      const torch::Tensor sum = kept(kept(x) + kept(f));
      const torch::Tensor y = rms_norm_formula(kept, sum, kept(w), 1e-6, 0.5);
      ((sum * dsum).sum() + (y * dy).sum()).backward();
      return {sum, y, x.grad(), f.grad(), w.grad()};
    });
    const torch::Tensor x = given_leaf(x64), f = given_leaf(f64), w = given_leaf(w64);
    const NormedSum both = add_rms_norm(x, f, w, 1e-6, 0.5);
    torch::Tensor loss = (both.normed.cpu().to(torch::kFloat64) * dy).sum();
    if (uses_sum) loss = loss + (both.sum.cpu().to(torch::kFloat64) * dsum).sum();
    loss.backward();
    expect_all_close({"sum", "y", "dx", "dupdate", "dw"},
                     {both.sum, both.normed, x.grad(), f.grad(), w.grad()}, exact, 33 + 15);
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
  const int64_t width = 12, inner = 129, tokens = 300;
  const FeedForwardFormula all{random({2, tokens / 2, width}), random({inner, width}),
                               random({inner, width}), random({width, inner}),
                               random({2, tokens / 2, width})};
  const Expected exact = expected(all);
  for (const bool adjacent : {true, false}) {
    const auto memory = empty_packed({inner, inner}, width, options());
    const torch::Tensor x = given_leaf(all.x), d = given_leaf(all.down),
                        g = adjacent ? placed(all.gate, memory[0]) : given_leaf(all.gate),
                        u = adjacent ? placed(all.up, memory[1]) : given_leaf(all.up);
    const torch::Tensor y = swiglu_feed_forward(x, g, u, d);
    y.backward(given(all.dy));
    expect_all_close({"y", "dx", "dgate", "dup", "ddown"},
                     {y, x.grad(), g.grad(), u.grad(), d.grad()}, exact, tokens);
  }
}

TEST_P(KernelTest, ProjectHeadsAndItsGradientsMatchTheFormula) {
  using P = ProjectionsFormula;
  const std::vector<int64_t> rows = {4 * P::kSize, 2 * P::kSize, 2 * P::kSize};
  ProjectionsFormula all{.x = random({P::kBatch, P::kTime, P::kWidth}),
                         .angle = torch::rand({P::kTime, P::kSize / 2}, torch::kFloat64) * 6};
  std::vector<torch::Tensor> grads;
  for (const int64_t columns : rows) {
    all.weights.push_back(random({columns, P::kWidth}));
    all.biases.push_back(random({columns}));
    all.dy.push_back(random({P::kBatch, columns / P::kSize, P::kTime, P::kSize}));
    grads.push_back(given(all.dy.back()));
  }
  const torch::Tensor cos = all.angle.cos().to(device(), wide()),
                      sin = all.angle.sin().to(device(), wide());
  for (const bool biased : {true, false}) {
    all.biased = biased;
    const Expected exact = expected(all);
    for (const bool adjacent : {true, false}) {
      const torch::Tensor x = given_leaf(all.x);
      const auto memory = empty_packed(rows, P::kWidth, options());
      std::vector<HeadProjection> projections;
      for (size_t i = 0; i < rows.size(); ++i)
        projections.push_back(
            {adjacent ? placed(all.weights[i], memory[i]) : given_leaf(all.weights[i]),
             biased ? given_leaf(all.biases[i]) : torch::Tensor()});
      std::vector<torch::Tensor> results = project_heads(x, projections, P::kSize, cos, sin);
      torch::autograd::backward(results, grads);
      results.push_back(x.grad());
      for (const HeadProjection& of : projections) results.push_back(of.weight.grad());
      if (biased)
        for (const HeadProjection& of : projections) results.push_back(of.bias.grad());
      expect_all_close({"query", "key", "value", "dx", "dwq", "dwk", "dwv", "dbq", "dbk", "dbv"},
                       results, exact, P::kBatch * P::kTime);
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
  torch::manual_seed(test_seed());
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
  const torch::Tensor expected = weight_gradient(2);
  EXPECT_TRUE(torch::equal(weight_gradient(2), expected));
  // Two sums of the same 40 terms, in two orders.
  const torch::Tensor terms = dy * x0 * torch::rsqrt(x0.square().mean(1, true) + 1e-6);
  const torch::Tensor bound = 2 * unit_roundoff(24) * roundings_of_sum(40) * terms.abs().sum(0);
  EXPECT_EQ(count_wrong(weight_gradient(1), expected, bound), 0);
}

TEST(RmsNorm, NamesTheArgumentWithTheWrongShape) {
  EXPECT_THROW(rms_norm(torch::ones({2, 4}), torch::ones({3}), 1e-6), ShapeError);
}

}  // namespace
}  // namespace fathom
