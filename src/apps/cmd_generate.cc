// train-llm generate: continues a prompt.

#include "apps/commands.h"
#include "fathom/base/json.h"
#include "fathom/eval/continue_text.h"
#include "fathom/hugging_face/model_files.h"
#include "fathom/run/checkpoint.h"
#include "fathom/runtime/device.h"
#include "fathom/tokenizer/tokenizer_files.h"

namespace fathom {
namespace {

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
  if (const auto keys = unfollowed_generation_keys(directory); !keys.empty())
    invocation.log().warn(cat((directory / "generation_config.json").string(),
                              ": these keys are not followed: ", join(keys)));
  check_fits(tokenizer, model->config().vocab_size);
  warn_of_ids(tokenizer, invocation.log());
  const std::string prompt = invocation.text("prompt", "");
  DataConfig of_run;
  of_run.add_bos = tokenizer.adds_bos();
  read_data_settings(directory, of_run, invocation.choices());
  const TextOptions options{
      .sampling = {.max_new_tokens = invocation.integer("max-new-tokens", 128, 1, 1 << 20),
                   .temperature = invocation.number("temperature", 0.8, 0, 100),
                   .top_p = invocation.number("top-p", 0.95, 1e-6, 1),
                   .seed = invocation.integer("seed", 0, 0, INT64_MAX)},
      .add_bos = of_run.add_bos,
      .ends = ends_of(directory, tokenizer)};
  const bool json = invocation.has("json");
  if (!json) invocation.print(prompt);
  const auto show = [&](const std::string& text) {
    if (!json) invocation.print(text);
  };
  const Continuation made =
      continue_text(model, tokenizer, prompt, options, show, invocation.stop());
  if (json) {
    invocation.print(json_text({{"model", directory.string()},
                                {"prompt", prompt},
                                {"text", made.text},
                                {"new_tokens", made.new_tokens}}));
  } else {
    invocation.print("\n");
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
