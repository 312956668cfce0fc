// Sampling text from a model.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "fathom/base/stop.h"
#include "fathom/config/model_config.h"
#include "fathom/model/llama.h"

namespace fathom {

struct SamplingOptions {
  int64_t max_new_tokens = 128;
  double temperature = 0.8;  ///< 0 = always the most likely token
  double top_p = 0.95;       ///< sample from the fewest tokens that hold this much probability
  int64_t seed = 0;          ///< the same seed gives the same text
  /// Ids that are never drawn: those of a vocabulary that is larger than the tokenizer's.
  std::vector<int64_t> never = {};
};

/// The next token's id, drawn from logits.
/// @param logits_V float
/// @param generator of the logits' device type CPU
int64_t sample_token(const torch::Tensor& logits_V, const SamplingOptions& options,
                     const torch::Generator& generator);

/// @throws ConfigError if a prompt of so many tokens and the new ones exceed the model's longest
/// context
void check_length(size_t prompt_tokens, const SamplingOptions& options, const ModelConfig& model);

/// Continues a prompt, one token at a time through a key-value cache.
/// @param prompt at least one token
/// @param ends each stops before max_new_tokens when drawn; it isn't returned
/// @param on_token called with each new token
/// @returns the new tokens
/// @throws ConfigError as `check_length` does
std::vector<int32_t> generate(Llama& model, const std::vector<int32_t>& prompt,
                              const std::vector<int64_t>& ends, const SamplingOptions& options,
                              const std::function<void(int32_t)>& on_token, const StopFlag& stop);

}  // namespace fathom
