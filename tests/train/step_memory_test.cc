// What a step keeps and writes, counted by the allocator: neither may grow unnoticed.
#include <gtest/gtest.h>

#include "fathom/model/cost.h"
#include "fathom/runtime/cpu_allocator.h"
#include "fathom/train/step.h"

namespace fathom {
namespace {

constexpr int64_t kLayers = 3, kWidth = 256, kInner = 704, kVocabulary = 2048;
constexpr int64_t kRows = 8, kLength = 128, kTokens = kRows * kLength;
constexpr int64_t kTable = kVocabulary * kWidth;

// Every activation takes 1 MiB or more: the allocator counts them all.
RunConfig config_of(const std::string& placement) {
  RunConfig config;
  config.model.hidden_size = kWidth;
  config.model.intermediate_size = kInner;
  config.model.num_hidden_layers = kLayers;
  config.model.num_attention_heads = 4;
  config.model.vocab_size = kVocabulary;
  config.model.norm.placement = placement;
  config.data.sequence_length = kLength;
  config.train.global_batch_size = kRows;
  config.train.max_steps = 1;
  return config;
}

class StepMemory : public testing::TestWithParam<const char*> {
 protected:
  StepMemory() : config_(config_of(GetParam())) {
    use_caching_cpu_allocator();
    plan_ = resolve_plan(config_.model);
    model_ = Llama(config_.model, plan_, torch::kFloat32, torch::kFloat32);
    model_->start_weights(1);
    batch_.input_BT = torch::randint(kVocabulary, {kRows, kLength}, torch::kInt64);
    batch_.target_BT = torch::randint(kVocabulary, {kRows, kLength}, torch::kInt64);
  }

  RunConfig config_;
  ModelPlan plan_;
  Llama model_{nullptr};
  BatchTensors batch_;
};

TEST_P(StepMemory, KeepsForTheBackwardPassWhatThePlanEstimates) {
  const auto before = static_cast<double>(cpu_memory().in_use);
  const torch::Tensor loss = model_->loss(batch_.input_BT, batch_.target_BT, 1.0 / kTokens);
  const double kept = static_cast<double>(cpu_memory().in_use) - before;
  // The loss has its gradients already: of the head and of its input.
  const auto head = static_cast<double>(4 * (kTable + kTokens * kWidth));
  const auto expected =
      static_cast<double>(estimate_memory(config_, plan_, /*optimizer_numbers=*/0).activations) +
      head;
  EXPECT_NEAR(kept / expected, 1.0, 0.05);
}

TEST_P(StepMemory, WritesNoMoreThanItsOperationsNeed) {
  const auto before = static_cast<double>(cpu_memory().handed_out);
  accumulate_gradients(model_, batch_, kTokens, kRows);
  const double written = static_cast<double>(cpu_memory().handed_out) - before;
  // Numbers for each token. Forward: two sums and their norms, query, key and value, attention, two
  // outputs; gate and up, their product. Back: the gradients of each, the product again.
  const double layer =
      (4 + 3 + 1 + 2) * kWidth + 3 * kInner + (2 + 2 + 6 + 2) * kWidth + 3 * kInner;
  const double ends = kVocabulary + 6 * kWidth;  // logits; embedding, final norm, head and back
  double weights = 2 * kTable;                   // their gradients
  for (const torch::Tensor& parameter : model_->parameters())
    weights += static_cast<double>(parameter.numel());
  const double expected = 4 * (kTokens * (kLayers * layer + ends) + weights);
  EXPECT_LE(written / expected, 1.1);
  EXPECT_GE(written / expected, 0.8);  // or it doesn't count what it should
}

INSTANTIATE_TEST_SUITE_P(Placements, StepMemory, testing::Values("pre", "lns", "post"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace fathom
