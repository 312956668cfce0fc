// train-llm generate: continues a prompt.

#include "apps/commands.h"
#include "apps/run_setup.h"
#include "fathom/base/json.h"
#include "fathom/eval/generate.h"
#include "fathom/io/checkpoint.h"
#include "fathom/train/device.h"

namespace fathom {
namespace {

/// BOS and the prompt, as the model's texts start; for no prompt, what comes before a text.
std::vector<int32_t> ids_of(const std::string& prompt, const Tokenizer& tokenizer, bool add_bos) {
  std::vector<int32_t> ids = tokenizer.encode(prompt);
  if (add_bos && tokenizer.bos_id()) ids.insert(ids.begin(), *tokenizer.bos_id());
  if (!ids.empty()) return ids;
  const auto start = tokenizer.bos_id() ? tokenizer.bos_id() : tokenizer.eos_id();
  if (!start) throw ConfigError("--prompt is empty and the tokenizer has neither BOS nor EOS");
  return {*start};
}

/// Ids of the model that the tokenizer has nothing for.
std::vector<int64_t> ids_without_piece(const Tokenizer& tokenizer, int64_t vocab_size) {
  std::vector<int64_t> ids;
  for (int64_t id = 0; id < vocab_size; ++id) {
    if (!tokenizer.has_piece(id)) ids.push_back(id);
  }
  return ids;
}

std::vector<int64_t> ends_of(const std::filesystem::path& directory, const Tokenizer& tokenizer) {
  std::vector<int64_t> ends = read_ends(directory);
  if (ends.empty() && tokenizer.eos_id()) ends.push_back(*tokenizer.eos_id());
  return ends;
}

int run(Invocation& invocation) {
  const auto directory = find_model(invocation.arguments()[0], invocation.stop(), invocation.log());
  apply_runtime_settings({});
  const torch::Device device = choose_device(invocation.text("device", "auto"));
  warn_of_read_over(directory, read_model_config(directory, invocation.choices()),
                    invocation.log());
  Llama model = load_model(directory, device, torch::kFloat32, invocation.choices());
  const Tokenizer tokenizer = load_tokenizer(directory);
  check_vocabulary(tokenizer, model->config().vocab_size);
  const std::string prompt = invocation.text("prompt", "");
  DataConfig of_run;
  of_run.add_bos = tokenizer.adds_bos();
  read_data_settings(directory, of_run, invocation.choices());
  std::vector<int32_t> ids = ids_of(prompt, tokenizer, of_run.add_bos);
  const SamplingOptions options{
      .max_new_tokens = invocation.integer("max-new-tokens", 128, 1, 1 << 20),
      .temperature = invocation.number("temperature", 0.8, 0, 100),
      .top_p = invocation.number("top-p", 0.95, 1e-6, 1),
      .seed = invocation.integer("seed", 0, 0, INT64_MAX),
      .never = ids_without_piece(tokenizer, model->config().vocab_size)};
  // A token can be part of a character: what is printed is what the whole text has gained.
  const std::string start = tokenizer.decode(ids);
  std::string printed = start;
  const bool json = invocation.has("json");
  if (!json) invocation.print(prompt);
  const auto show = [&](int32_t id) {
    ids.push_back(id);
    const std::string text = tokenizer.decode(ids);
    if (json || !text.starts_with(printed) || text.ends_with("\xEF\xBF\xBD")) return;
    invocation.print(text.substr(printed.size()));
    printed = text;
  };
  const std::vector<int32_t> generated =
      generate(model, ids, ends_of(directory, tokenizer), options, show, invocation.stop());
  if (json) {
    const std::string whole = tokenizer.decode(ids);
    const Json result = {
        {"model", directory.string()},
        {"prompt", prompt},
        {"text", whole.starts_with(start) ? prompt + whole.substr(start.size()) : whole},
        {"new_tokens", generated}};
    invocation.print(json_text(result));
  } else {
    // What is left is a part of a character that no token has completed.
    const std::string text = tokenizer.decode(ids);
    invocation.print(cat(text.starts_with(printed) ? text.substr(printed.size()) : "", "\n"));
  }
  return 0;
}

}  // namespace

Command generate_command() {
  return {
      .name = "generate",
      .summary = "samples text from a model",
      .usage = "DIR --prompt TEXT [--max-new-tokens N] [--temperature T] [--top-p P] [--seed N]",
      .example = "train-llm generate out/lns --prompt \"Once upon a time\"",
      .min_arguments = 1,
      .max_arguments = 1,
      .computes = true,
      .flags = {{"prompt", "TEXT", "text to continue (default: start of a document)"},
                {"max-new-tokens", "N", "longest continuation (default: 128)"},
                {"temperature", "T", "0 = the most likely token (default: 0.8)"},
                {"top-p", "P", "sample from the likeliest tokens that hold P (default: 0.95)"},
                {"seed", "N", "the same seed gives the same text (default: 0)"},
                {"device", "auto|cpu|cuda", "where to run (default: auto)"},
                {"json", "", "print JSON"}},
      .memory_advice =
          "ask for fewer --max-new-tokens, or give it more: the model takes 4 bytes a weight",
      .run = run};
}

}  // namespace fathom
