// Causal attention against its formula in float64, differentiated by ATen's autograd.
#include "fathom/kernels/attention.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <cmath>
#include <limits>

#include "base/test_seed.h"
#include "fathom/base/error.h"
#include "fathom/kernels/choice.h"
#include "kernels/cpu/attention_tiles.h"
#include "kernels/formulas.h"

namespace fathom {
namespace {

struct Sizes {
  int64_t batch, heads, key_heads, length, channels;
};

// Around every edge of a tile, one token, heads that share keys, odd and large channels.
constexpr Sizes kSizes[] = {{2, 3, 3, 1, 8},    {1, 4, 2, 31, 48},   {2, 2, 1, 64, 32},
                            {1, 2, 2, 257, 64}, {1, 6, 3, 65, 7},    {1, 1, 1, 100, 256},
                            {3, 2, 2, 47, 1},   {1, 8, 1, 49, 20},   {2, 1, 1, 6, 16},
                            {1, 3, 1, 97, 33},  {1, 2, 2, 130, 128}, {5, 1, 1, 13, 96}};

/// Queries, keys and values, and the gradient of a result.
struct Inputs {
  torch::Tensor q, k, v, grad;
  torch::TensorList all() const { return {&q, 3}; }
};

/// As a projection leaves them: columns of one [B, T, (H + 2 K) C].
Inputs random_inputs(const Sizes& s) {
  const torch::Tensor packed =
      torch::randn({s.batch, s.length, (s.heads + 2 * s.key_heads) * s.channels}, torch::kFloat32);
  const auto heads = [&](int64_t first, int64_t count) {
    return packed.narrow(2, first * s.channels, count * s.channels)
        .unflatten(2, {count, s.channels})
        .transpose(1, 2);
  };
  return {heads(0, s.heads), heads(s.heads, s.key_heads), heads(s.heads + s.key_heads, s.key_heads),
          torch::randn({s.batch, s.length, s.heads, s.channels}, torch::kFloat32).transpose(1, 2)};
}

/// The result and the gradients of q, k and v.
using Results = std::vector<torch::Tensor>;
constexpr const char* kNames[] = {"out", "dq", "dk", "dv"};

template <typename Attention>
Results differentiate(const Inputs& inputs, torch::ScalarType dtype, const Attention& attention) {
  std::vector<torch::Tensor> x;
  for (const torch::Tensor& t : {inputs.q, inputs.k, inputs.v}) x.push_back(leaf(t, dtype));
  Results results = {attention(x[0], x[1], x[2])};
  for (const torch::Tensor& t :
       torch::autograd::grad({results[0]}, {x[0], x[1], x[2]}, {inputs.grad.to(dtype)}))
    results.push_back(t);
  return results;
}

struct AttentionFormula {
  Inputs inputs;
  bool exact_scores = false;  // and what the backward pass makes of them

  Results operator()(const Kept& kept) const {
    return differentiate(inputs, torch::kFloat64, [&](const auto& q, const auto& k, const auto& v) {
      const Kept in_scores = exact_scores ? kept.of_gradients() : kept;
      const int64_t share = q.size(1) / k.size(1), length = q.size(2);
      const torch::Tensor keys = in_scores(k).repeat_interleave(share, 1);
      const torch::Tensor mask =
          torch::full({length, length}, -std::numeric_limits<double>::infinity(), torch::kFloat64)
              .triu(1);
      const torch::Tensor scores =
          in_scores(in_scores.product(in_scores(q), keys.transpose(2, 3)) / std::sqrt(q.size(3))) +
          mask;
      const torch::Tensor sum = scores.logsumexp(3, true), value = sum.detach();
      // The backward pass has probabilities from the stored sum, and the sum's gradient from a
      // product of the results and theirs.
      const torch::Tensor p = kept((scores - in_scores(value)).exp());
      const torch::Tensor out = kept.product(p, kept(v).repeat_interleave(share, 1));
      return kept(out * kept((value - sum).exp().expand_as(out)));
    });
  }
};

Results own(const Inputs& inputs) {
  return differentiate(inputs, torch::kFloat32, causal_attention);
}

Expected expected_of(const AttentionFormula& formula) {
  return fathom::expected_of(formula, torch::kFloat32);  // float64 has no wider type either
}

void expect_close(const Results& results, const Expected& expected, const Inputs& inputs,
                  torch::ScalarType dtype = torch::kFloat32) {
  const int64_t terms = inputs.q.size(2) * inputs.q.size(1) / inputs.k.size(1) + inputs.q.size(3);
  // A probability that underflows counts in dq and dk: times its gradient, times a key or a query.
  double factors = 2.0 * terms * inputs.q.size(3);
  for (const torch::Tensor& x : {at::maximum(inputs.q.abs().max(), inputs.k.abs().max()),
                                 inputs.v.abs().max(), inputs.grad.abs().max()})
    factors *= std::max(1.0, x.item<double>());
  for (size_t i = 0; i < results.size(); ++i)
    expect_close(kNames[i], results[i], expected, i, {dtype, terms, factors});
}

class CausalAttention : public testing::Test {
 protected:
  void SetUp() override { torch::manual_seed(test_seed()); }
  void TearDown() override { set_kernels(Kernels::automatic); }
};

TEST_F(CausalAttention, AndItsGradientsMatchTheFormula) {
  for (const Sizes& s : kSizes) {
    if (!runs_case()) continue;
    SCOPED_TRACE(testing::Message() << "T " << s.length << ", C " << s.channels);
    const Inputs inputs = random_inputs(s);
    expect_close(own(inputs), expected_of(AttentionFormula{inputs}), inputs);
  }
}

TEST_F(CausalAttention, MatchesTheFormulaInFloat64AndWithTheReferenceKernels) {
  const Inputs inputs = random_inputs({2, 4, 2, 37, 24});
  expect_close(differentiate(inputs, torch::kFloat64, causal_attention),
               expected_of(AttentionFormula{inputs}), inputs, torch::kFloat64);
  set_kernels(Kernels::reference);
  expect_close(own(inputs), expected_of(AttentionFormula{inputs}), inputs);
}

TEST_F(CausalAttention, TakesDenseTensorsAndThoseWithStridedChannels) {
  Inputs inputs = random_inputs({2, 2, 2, 50, 16});
  const Expected expected = expected_of(AttentionFormula{inputs});
  inputs.q = inputs.q.contiguous();
  inputs.k = inputs.k.transpose(2, 3).contiguous().transpose(2, 3);
  inputs.grad = inputs.grad.transpose(0, 3).contiguous().transpose(0, 3);
  expect_close(own(inputs), expected, inputs);
}

TEST_F(CausalAttention, LeavesItsResultsWhereTheNextProjectionsReadThem) {
  const Inputs inputs = random_inputs({2, 4, 2, 20, 8});
  const Results results = own(inputs);
  EXPECT_TRUE(results[0].transpose(1, 2).is_contiguous());
  const std::vector<int64_t> strides = {20 * 8 * 8, 8, 8 * 8, 1};  // of [B, T, 8 heads, C]
  for (size_t i = 1; i < results.size(); ++i) EXPECT_EQ(results[i].strides(), strides) << kNames[i];
  const float* query = results[1].const_data_ptr<float>();
  EXPECT_EQ(results[2].const_data_ptr<float>(), query + 4 * 8);
  EXPECT_EQ(results[3].const_data_ptr<float>(), query + 6 * 8);
}

TEST_F(CausalAttention, GivesTheSameBitsOnOneAndOnTwoThreads) {
  const Inputs inputs = random_inputs({3, 3, 1, 70, 24});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Results one = own(inputs);
  at::set_num_threads(2);
  const Results two = own(inputs);
  at::set_num_threads(threads);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].equal(two[i])) << kNames[i];
}

TEST_F(CausalAttention, SeesNothingOfTheFuture) {
  const int64_t now = 40;
  Inputs inputs = random_inputs({1, 2, 2, 80, 16});
  inputs.grad.narrow(2, now, 40).zero_();
  const Results before = own(inputs);
  for (torch::Tensor t : {inputs.q, inputs.k, inputs.v}) t.narrow(2, now, 40).mul_(1000);
  const Results after = own(inputs);
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(before[i].narrow(2, 0, now).equal(after[i].narrow(2, 0, now))) << kNames[i];
}

TEST_F(CausalAttention, SurvivesScoresInTheHundreds) {
  Inputs inputs = random_inputs({1, 2, 2, 60, 64});
  // Whole numbers and C = 64: float32 has the scores without an error.
  for (torch::Tensor t : {inputs.q, inputs.k}) t.mul_(8).round_();
  const Results results = own(inputs);
  expect_close({results[0]}, expected_of(AttentionFormula{inputs, /*exact_scores=*/true}), inputs);
  // Probabilities of the backward pass come from a stored log-sum-exp, which has seven digits.
  expect_close(results, expected_of(AttentionFormula{inputs}), inputs);
}

TEST_F(CausalAttention, PassesNaNOn) {
  for (const bool in_query : {true, false}) {
    Inputs inputs = random_inputs({1, 1, 1, 60, 16});
    (in_query ? inputs.q : inputs.k)[0][0][20][3] = std::nan("");
    const Results results = own(inputs);
    const torch::Tensor is_nan = results[0].isnan()[0][0].all(1);  // by time
    EXPECT_TRUE(is_nan[20].item<bool>());
    EXPECT_EQ(is_nan.sum().item<int64_t>(), in_query ? 1 : 40);
    EXPECT_TRUE(results[2].isnan()[0][0].narrow(0, 0, 21).all().item<bool>());  // dk
  }
}

TEST_F(CausalAttention, NamesWhatDoesNotFit) {
  const Inputs inputs = random_inputs({1, 4, 2, 8, 16});
  const torch::Tensor three = torch::zeros({1, 3, 8, 16});
  EXPECT_THROW(causal_attention(inputs.q, inputs.k.narrow(2, 0, 7), inputs.v), ShapeError);
  EXPECT_THROW(causal_attention(inputs.q, inputs.k, three), ShapeError);
  try {
    causal_attention(inputs.q, three, three);
    FAIL();
  } catch (const ShapeError& e) {
    EXPECT_STREQ(e.what(), "causal_attention: 4 heads of queries and 3 of keys; 3 must divide 4");
  }
}

HeadRows rows_of(const torch::Tensor& x) {
  return {x.data_ptr<float>(), {x.stride(0), x.stride(2), x.stride(1)}};
}

Results run_tiles(const AttentionTiles& tiles, const Sizes& s, const Inputs& i) {
  const AttentionShape shape{s.batch, s.heads, s.key_heads, s.length, s.channels};
  const Results r = {torch::empty_like(i.q), torch::empty_like(i.q), torch::empty_like(i.k),
                     torch::empty_like(i.v)};
  const torch::Tensor log_sum = torch::empty({s.batch, s.heads, s.length});
  // What the loops don't write themselves must not matter.
  const torch::Tensor scratch = torch::full({attention_scratch(shape)}, std::nan(""));
  const AttentionForward forward{shape,        rows_of(i.q),  rows_of(i.k),
                                 rows_of(i.v), rows_of(r[0]), log_sum.data_ptr<float>()};
  const AttentionBackward backward{shape,           rows_of(i.q),  rows_of(i.k),
                                   rows_of(i.v),    rows_of(r[0]), log_sum.data_ptr<float>(),
                                   rows_of(i.grad), rows_of(r[1]), rows_of(r[2]),
                                   rows_of(r[3])};
  const int64_t heads = s.batch * s.key_heads;
  tiles.forward(forward, 0, heads, scratch.data_ptr<float>());
  scratch.fill_(std::nan(""));
  tiles.backward(backward, 0, heads, scratch.data_ptr<float>());
  return r;
}

TEST_F(CausalAttention, IsRightOnEveryInstructionSetOfThisProcessor) {
  if (attention_tiles().empty()) GTEST_SKIP() << "this processor has no AVX2";
  for (const Sizes& s : kSizes) {
    if (!runs_case()) continue;
    const Inputs inputs = random_inputs(s);
    const Expected expected = expected_of(AttentionFormula{inputs});
    for (const AttentionTiles& tiles : attention_tiles()) {
      SCOPED_TRACE(testing::Message()
                   << tiles.instruction_set << ", T " << s.length << ", C " << s.channels);
      expect_close(run_tiles(tiles, s, inputs), expected, inputs);
    }
  }
}

}  // namespace
}  // namespace fathom
