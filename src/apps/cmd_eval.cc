// train-llm eval: perplexity of a model on any text or token files.

#include <cmath>

#include "apps/commands.h"
#include "apps/model_on_text.h"
#include "apps/text_settings.h"
#include "fathom/base/json.h"
#include "fathom/base/number.h"
#include "fathom/run/run_data.h"

namespace fathom {
namespace {

int run(Invocation& invocation) {
  if (!invocation.has("text"))
    throw ConfigError("--text is missing; name text files, folders, globs or token files");
  ModelOnText on = load_model_on_text(invocation, invocation.texts("text"),
                                      invocation.integer("tokens", INT64_MAX, 1, INT64_MAX));
  report_evaluation(on.rows.rows(), on.data, "--text", invocation.log());
  const Perplexity result = evaluate_perplexity(on.model, batches_of(on.rows), invocation.stop());
  require_finite(on.directory, "val/ppl", std::isfinite(result.perplexity()));
  if (invocation.has("json")) {
    const Json json = {{"model", on.directory.string()},
                       {"data", settings_json(on.data)},
                       {"val/loss", result.loss},
                       {"val/ppl", result.perplexity()},
                       {"val/unigram_loss", result.unigram_loss},
                       {"tokens", result.targets}};
    invocation.print(json_text(json));
  } else {
    invocation.print(cat("model     ", on.directory.string(), "\ndata      ",
                         settings_text(on.data), "\nval/loss  ", loss_text(result.loss),
                         "\nval/ppl   ", perplexity_text(result.perplexity()), "\ntokens    ",
                         result.targets, "\n"));
  }
  return 0;
}

}  // namespace

Command eval_command() {
  return {.name = "eval",
          .summary = "perplexity of a model on text or token files",
          .usage =
              "DIR --text FILE... [--mode packed|documents] [--add-bos true|false] [--tokens N] "
              "[--json]",
          .example = "train-llm eval out/lns --text validation.json.gz",
          .min_arguments = 1,
          .max_arguments = 1,
          .computes = true,
          .flags = with_text_flags({{"tokens", "N", "score at most so many (default: all)"}}),
          .memory_advice = "lower --batch-size or --sequence-length",
          .run = run};
}

}  // namespace fathom
