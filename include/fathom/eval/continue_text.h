// From text to text: what a model and its tokenizer make of a prompt.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fathom/base/stop.h"
#include "fathom/eval/generate.h"
#include "fathom/model/llama.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {

struct TextOptions {
  /// Ids that the tokenizer has no piece for are never drawn, whatever `never` says.
  SamplingOptions sampling;
  bool add_bos = false;            ///< texts start with BOS
  std::vector<int64_t> ends = {};  ///< ids of which each ends the text
};

struct Continuation {
  std::string text;  ///< the prompt and what follows
  std::vector<int32_t> new_tokens;
};

/// BOS and the prompt, as the model's texts start; for no prompt, what comes before a text.
/// @throws ConfigError for no prompt and a tokenizer without BOS and EOS
std::vector<int32_t> prompt_ids(const std::string& prompt, const Tokenizer& tokenizer,
                                bool add_bos);

/// @param on_text called with what the text gains, whole characters at a time; not the prompt
/// @throws ConfigError as `generate` and `prompt_ids` do; Interrupted
Continuation continue_text(Llama& model, const Tokenizer& tokenizer, const std::string& prompt,
                           const TextOptions& options,
                           const std::function<void(const std::string&)>& on_text,
                           const StopFlag& stop);

}  // namespace fathom
