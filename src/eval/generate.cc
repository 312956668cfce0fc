#include "fathom/eval/generate.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/config/context.h"

namespace fathom {

int64_t sample_token(const torch::Tensor& logits_V, const SamplingOptions& options,
                     const torch::Generator& generator) {
  torch::Tensor logits = logits_V.to(torch::kCPU, torch::kFloat64);
  const torch::Tensor largest = logits.max();  // NaN where a logit is
  if (!largest.isfinite().item<bool>())
    throw CheckpointError(
        "the model's logits aren't finite: its weights are too large to compute with, so use an "
        "earlier checkpoint or another model");
  if (!options.never.empty())
    logits = logits.index_fill(0, torch::tensor(options.never),
                               -std::numeric_limits<double>::infinity());
  if (options.temperature == 0) return logits.argmax().item<int64_t>();
  // However small the temperature, the largest logit is 0 here and the others go to -infinity. A
  // denormal one may be 0 for the processor.
  const double temperature = std::max(options.temperature, std::numeric_limits<double>::min());
  auto [probability, token] =
      ((logits - logits.max()) / temperature).softmax(0).sort(/*dim=*/0, /*descending=*/true);
  // A token stays while the more likely ones before it hold less than top_p: the first always does.
  const torch::Tensor before = probability.cumsum(0) - probability;
  probability = probability.masked_fill(before >= options.top_p, 0.0);
  return token[probability.multinomial(1, false, generator).item<int64_t>()].item<int64_t>();
}

void check_length(size_t prompt_tokens, const SamplingOptions& options, const ModelConfig& model) {
  const int64_t longest = longest_context(model);
  if (static_cast<int64_t>(prompt_tokens) + options.max_new_tokens > longest)
    throw ConfigError(cat("the prompt's ", prompt_tokens, " tokens and ", options.max_new_tokens,
                          " new ones exceed the model's longest context (", longest,
                          " tokens); ask for fewer"));
}

std::vector<int32_t> generate(Llama& model, const std::vector<int32_t>& prompt,
                              const std::vector<int64_t>& ends, const SamplingOptions& options,
                              const std::function<void(int32_t)>& on_token, const StopFlag& stop) {
  const torch::NoGradGuard no_grad;
  check_length(prompt.size(), options, model->config());
  const int64_t capacity = static_cast<int64_t>(prompt.size()) + options.max_new_tokens;
  const auto device = model->device();
  KeyValueCache cache(model->config(), 1, capacity,
                      torch::TensorOptions(model->compute_dtype()).device(device));
  const torch::Generator generator =
      at::detail::createCPUGenerator(static_cast<uint64_t>(options.seed));
  torch::Tensor input_BT =
      torch::tensor(std::vector<int64_t>(prompt.begin(), prompt.end())).unsqueeze(0);
  std::vector<int32_t> generated;
  while (static_cast<int64_t>(generated.size()) < options.max_new_tokens) {
    stop.check();
    const torch::Tensor hidden_BTD = model->hidden(input_BT.to(device), {.cache = &cache});
    const torch::Tensor logits_V = model->logits(hidden_BTD.select(1, -1)).squeeze(0);
    const int64_t token = sample_token(logits_V, options, generator);
    if (std::find(ends.begin(), ends.end(), token) != ends.end()) break;
    generated.push_back(static_cast<int32_t>(token));
    on_token(generated.back());
    input_BT = torch::full({1, 1}, token, torch::kInt64);
  }
  return generated;
}

}  // namespace fathom
