#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/test_seed.h"
#include "fathom/base/error.h"
#include "fathom/eval/generate.h"
#include "fathom/eval/perplexity.h"
#include "model/tiny_model.h"

namespace fathom {
namespace {

Batch batch_of(const torch::Tensor& input_BT, const torch::Tensor& target_BT) {
  const auto values = [](const torch::Tensor& t) {
    return std::vector<int64_t>(t.data_ptr<int64_t>(), t.data_ptr<int64_t>() + t.numel());
  };
  return {.rows = input_BT.size(0),
          .length = input_BT.size(1),
          .input = values(input_BT),
          .target = values(target_BT),
          .document = {},
          .targets = target_BT.ne(kIgnoredTarget).sum().item<int64_t>()};
}

TEST(Perplexity, WeighsTokensNotBatches) {
  Llama model = tiny_model(tiny_config());
  const torch::Tensor input = tiny_tokens(3, 6, 1);
  torch::Tensor target = tiny_tokens(3, 6, 2);
  target.narrow(0, 2, 1).narrow(1, 1, 5).fill_(kIgnoredTarget);  // the last batch scores one token
  int next = 0;
  const auto batches = [&]() -> std::optional<Batch> {
    if (next == 2) return std::nullopt;
    const int begin = 2 * next++;
    const int rows = begin == 0 ? 2 : 1;
    return batch_of(input.narrow(0, begin, rows).contiguous(),
                    target.narrow(0, begin, rows).contiguous());
  };
  const Perplexity result = evaluate_perplexity(model, batches, StopFlag());
  const torch::NoGradGuard no_grad;
  const torch::Tensor expected =
      at::cross_entropy_loss(model->logits(model->hidden(input)).flatten(0, 1), target.flatten(),
                             {}, at::Reduction::Mean, kIgnoredTarget);
  EXPECT_EQ(result.targets, 13);
  EXPECT_NEAR(result.loss, expected.item<double>(), 1e-12);
  EXPECT_NEAR(result.perplexity(), std::exp(expected.item<double>()), 1e-9);
}

TEST(Perplexity, ComparesWithTheEntropyOfHowOftenEachTokenIsATarget) {
  Llama model = tiny_model(tiny_config());
  const torch::Tensor target = torch::tensor({7, 7, 3, int{kIgnoredTarget}, 7, 9}).view({2, 3});
  bool done = false;
  const auto batches = [&]() -> std::optional<Batch> {
    if (std::exchange(done, true)) return std::nullopt;
    return batch_of(tiny_tokens(2, 3), target.to(torch::kInt64));
  };
  const double by_hand = -(0.6 * std::log(0.6) + 2 * 0.2 * std::log(0.2));
  EXPECT_NEAR(evaluate_perplexity(model, batches, StopFlag()).unigram_loss, by_hand, 1e-12);
}

TEST(Perplexity, OfNothingIsAnError) {
  Llama model = tiny_model(tiny_config());
  EXPECT_THROW(evaluate_perplexity(
                   model, [] { return std::optional<Batch>(); }, StopFlag()),
               DataError);
}

TEST(SampleToken, TakesTheLikeliestAtTemperatureZero) {
  const auto generator = at::detail::createCPUGenerator(0);
  EXPECT_EQ(sample_token(torch::tensor({0.1, 2.0, 1.9}), {.temperature = 0}, generator), 1);
}

TEST(SampleToken, DrawsWithTheProbabilitiesOfTheSoftmax) {
  const torch::Tensor logits = torch::log(torch::tensor({0.5, 0.3, 0.2}));
  const auto generator = at::detail::createCPUGenerator(test_seed());
  std::array<int, 3> counts{};
  constexpr int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i)
    ++counts[static_cast<size_t>(sample_token(logits, {.temperature = 1, .top_p = 1}, generator))];
  // Eight standard deviations.
  EXPECT_NEAR(counts[0], 0.5 * kDraws, 8 * std::sqrt(0.25 * kDraws));
  EXPECT_NEAR(counts[2], 0.2 * kDraws, 8 * std::sqrt(0.16 * kDraws));
}

TEST(SampleToken, LeavesOutWhatLiesBeyondTopP) {
  const torch::Tensor logits = torch::log(torch::tensor({0.2, 0.5, 0.3}));
  const auto generator = at::detail::createCPUGenerator(test_seed());
  for (int i = 0; i < 300; ++i)
    EXPECT_NE(sample_token(logits, {.temperature = 1, .top_p = 0.7}, generator), 0);
}

TEST(SampleToken, NeverDrawsWhatHasNoPiece) {
  const torch::Tensor logits = torch::log(torch::tensor({0.1, 0.6, 0.1, 0.2}));
  const auto generator = at::detail::createCPUGenerator(0);
  const std::vector<int64_t> never = {1, 3};
  EXPECT_EQ(sample_token(logits, {.temperature = 0, .never = never}, generator) % 2, 0);
  for (const double top_p : {1.0, 0.5}) {
    for (int i = 0; i < 200; ++i)
      EXPECT_EQ(
          sample_token(logits, {.temperature = 100, .top_p = top_p, .never = never}, generator) % 2,
          0);
  }
}

TEST(Generate, ContinuesGreedilyAsTheFullForwardPassDoes) {
  Llama model = tiny_model(tiny_config("lns"));
  std::vector<int32_t> ids = {3, 14, 15};
  const std::vector<int32_t> generated = generate(
      model, ids, {}, {.max_new_tokens = 6, .temperature = 0}, [](int32_t) {}, StopFlag());
  ASSERT_EQ(generated.size(), 6U);
  const torch::NoGradGuard no_grad;
  for (const int32_t token : generated) {
    const torch::Tensor input =
        torch::tensor(std::vector<int64_t>(ids.begin(), ids.end())).unsqueeze(0);
    EXPECT_EQ(model->logits(model->hidden(input))[0][-1].argmax().item<int64_t>(), token);
    ids.push_back(token);
  }
}

TEST(Generate, IsTheSameForTheSameSeedAndStopsAtTheEnd) {
  Llama model = tiny_model(tiny_config());
  const auto sample = [&](int64_t seed, const std::vector<int64_t>& ends) {
    return generate(
        model, {1}, ends, {.max_new_tokens = 10, .temperature = 1, .seed = seed}, [](int32_t) {},
        StopFlag());
  };
  const std::vector<int32_t> text = sample(4, {});
  EXPECT_EQ(sample(4, {}), text);
  EXPECT_NE(sample(5, {}), text);
  EXPECT_LE(sample(4, {text[3]}).size(), 3U);
  EXPECT_LE(sample(4, {text[5], text[2]}).size(), 2U) << "any of several";
}

TEST(Generate, RefusesMoreThanTheModelsContext) {
  Llama model = tiny_model(tiny_config());
  EXPECT_THROW(generate(
                   model, {1}, {}, {.max_new_tokens = 2048}, [](int32_t) {}, StopFlag()),
               ConfigError);
}

}  // namespace
}  // namespace fathom
