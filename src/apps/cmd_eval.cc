// train-llm eval: perplexity of a model on any text or token files.

#include <cstdio>

#include "apps/commands.h"
#include "apps/run_setup.h"
#include "fathom/base/json.h"
#include "fathom/data/prepare.h"
#include "fathom/train/device.h"

namespace fathom {
namespace {

int run(Invocation& invocation) {
  const StopFlag& stop = invocation.stop();
  const Log& log = invocation.log();
  apply_runtime_settings({});
  const auto directory = find_model(invocation.arguments()[0], stop, log);
  const torch::Device device = choose_device(invocation.text("device", "auto"));
  Llama model = load_model(directory, device, torch::kFloat32, invocation.choices());
  const Tokenizer tokenizer = load_tokenizer(directory);
  check_vocabulary(tokenizer, model->config().vocab_size);

  DataConfig data;
  const int64_t longest = model->config().max_position_embeddings;
  data.sequence_length =
      invocation.integer("sequence-length", std::min<int64_t>(256, longest), 2, longest);
  data.mode = invocation.text("mode", "packed");
  if (data.mode != "packed" && data.mode != "documents")
    throw ConfigError(cat("--mode is ", data.mode, "; allowed: packed, documents"));
  data.validation_tokens = invocation.integer("tokens", INT64_MAX, 1, INT64_MAX);
  data.cache_dir = invocation.text("cache-dir", data.cache_dir);
  const std::vector<TokenFile> files =
      prepared(invocation.texts("text"), data, tokenizer, "prepare", log, stop);
  const int64_t rows = invocation.integer("batch-size", 8, 1, 1 << 20);
  const Perplexity result = score(model, files, data, rows, stop);
  if (invocation.has("json")) {
    const Json json = {{"model", directory.string()},
                       {"val/loss", result.loss},
                       {"val/ppl", result.perplexity()},
                       {"tokens", result.targets}};
    invocation.print(json.dump(2) + "\n");
  } else {
    invocation.print(cat("model     ", directory.string(), "\nval/loss  ", result.loss,
                         "\nval/ppl   ", result.perplexity(), "\ntokens    ", result.targets,
                         "\n"));
  }
  return 0;
}

}  // namespace

Command eval_command() {
  return {
      .name = "eval",
      .summary = "perplexity of a model on text or token files",
      .usage = "DIR --text FILE... [--mode packed|documents] [--tokens N] [--json]",
      .example = "train-llm eval out/lns --text validation.json.gz",
      .min_arguments = 1,
      .max_arguments = 1,
      .flags = {{"text", "FILE...", "text files, folders, globs or token files"},
                {"mode", "packed|documents", "how rows are made of documents (default: packed)"},
                {"sequence-length", "N", "tokens in a row (default: 256)"},
                {"tokens", "N", "score at most so many (default: all)"},
                {"batch-size", "N", "rows at once (default: 8)"},
                {"device", "auto|cpu|cuda", "where to run (default: auto)"},
                {"cache-dir", "DIR", "where token files are kept (default: cache)"},
                {"json", "", "print JSON"}},
      .run = run};
}

}  // namespace fathom
