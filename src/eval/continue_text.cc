#include "fathom/eval/continue_text.h"

#include "fathom/base/error.h"

namespace fathom {
namespace {

/// Ids of the model that the tokenizer has nothing for.
std::vector<int64_t> ids_without_piece(const Tokenizer& tokenizer, int64_t vocab_size) {
  std::vector<int64_t> ids;
  for (int64_t id = 0; id < vocab_size; ++id) {
    if (!tokenizer.has_piece(id)) ids.push_back(id);
  }
  return ids;
}

}  // namespace

std::vector<int32_t> prompt_ids(const std::string& prompt, const Tokenizer& tokenizer,
                                bool add_bos) {
  std::vector<int32_t> ids = tokenizer.encode(prompt);
  if (add_bos && tokenizer.bos_id()) ids.insert(ids.begin(), *tokenizer.bos_id());
  if (!ids.empty()) return ids;
  const auto start = tokenizer.bos_id() ? tokenizer.bos_id() : tokenizer.eos_id();
  if (!start) throw ConfigError("the prompt is empty, and the tokenizer has neither BOS nor EOS");
  return {*start};
}

Continuation continue_text(Llama& model, const Tokenizer& tokenizer, const std::string& prompt,
                           const TextOptions& options,
                           const std::function<void(const std::string&)>& on_text,
                           const StopFlag& stop) {
  std::vector<int32_t> ids = prompt_ids(prompt, tokenizer, options.add_bos);
  SamplingOptions sampling = options.sampling;
  sampling.never = ids_without_piece(tokenizer, model->config().vocab_size);
  // A token can be part of a character: what is shown is what the whole text has gained.
  const std::string start = tokenizer.decode(ids);
  std::string shown = start;
  const auto show = [&](int32_t id) {
    ids.push_back(id);
    const std::string text = tokenizer.decode(ids);
    if (!text.starts_with(shown) || text.ends_with("\xEF\xBF\xBD")) return;
    on_text(text.substr(shown.size()));
    shown = text;
  };
  Continuation made;
  made.new_tokens = generate(model, std::vector<int32_t>(ids), options.ends, sampling, show, stop);
  const std::string whole = tokenizer.decode(ids);
  // What is left is a part of a character that no token has completed.
  if (whole.starts_with(shown) && whole.size() > shown.size()) on_text(whole.substr(shown.size()));
  made.text = whole.starts_with(start) ? prompt + whole.substr(start.size()) : whole;
  return made;
}

}  // namespace fathom
