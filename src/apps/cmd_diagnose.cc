// train-llm diagnose: what each layer of a model does, measured by probes on text or token files.

#include "apps/commands.h"
#include "apps/model_on_text.h"
#include "apps/text_settings.h"
#include "fathom/base/json.h"
#include "fathom/base/names.h"
#include "fathom/diagnose/probe.h"
#include "fathom/run/run_data.h"

namespace fathom {
namespace {

constexpr int64_t kDefaultTokens = 256LL * 1024;  // as in the paper's angular distances

/// The files of --text or of --tokens.
std::vector<std::string> inputs(const Invocation& invocation) {
  if (invocation.has("text") == invocation.has("tokens"))
    throw ConfigError(cat("--text and --tokens are ",
                          invocation.has("text") ? "both given; drop one" : "missing; give one"));
  if (invocation.has("text")) return invocation.texts("text");
  std::vector<std::string> files = invocation.texts("tokens");
  for (const std::string& file : files) {
    if (!file.ends_with(".tokens"))
      throw ConfigError(cat("--tokens is '", file, "', which is no .tokens file; use --text"));
  }
  return files;
}

/// The probes that --probe names, all by default.
std::vector<ProbeInfo> chosen_probes(const Invocation& invocation) {
  if (!invocation.has("probe")) return {probes().begin(), probes().end()};
  std::vector<ProbeInfo> chosen;
  for (const std::string& name : invocation.texts("probe"))
    chosen.push_back(find_row(probes(), name, "--probe"));
  return chosen;
}

std::string to_text(const torch::Tensor& values) {
  if (values.dim() == 0) return cat(values.item<double>());
  std::string text;
  for (int64_t i = 0; i < values.size(0); ++i) text += cat(i == 0 ? "" : " ", to_text(values[i]));
  return text;
}

int run(Invocation& invocation) {
  const std::vector<ProbeInfo> chosen = chosen_probes(invocation);
  ModelOnText on =
      load_model_on_text(invocation, inputs(invocation),
                         invocation.integer("max-tokens", kDefaultTokens, 1, INT64_MAX));
  Json json = {{"model", on.directory.string()},
               {"data", settings_json(on.data)},
               {"probes", Json::array()}};
  std::string text =
      cat("model   ", on.directory.string(), "\ndata    ", settings_text(on.data), "\n");
  for (const ProbeInfo& row : chosen) {
    const auto probe = row.make();
    const Measurement measured = measure(on.model, *probe, batches_of(on.rows), invocation.stop());
    require_finite(on.directory, row.name, measured.values.isfinite().all().item<bool>());
    json["probes"].push_back({{"name", row.name},
                              {"tokens", measured.targets},
                              {"axes", measured.axes},
                              {"values", to_json(measured.values)}});
    text += cat(row.name, " on ", measured.targets, " tokens: ", row.formula, "\n");
    for (int64_t i = 0; i < measured.values.size(0); ++i)
      text += cat("  layer ", i + 1, "  ", to_text(measured.values[i]), "\n");
  }
  invocation.print(invocation.has("json") ? json_text(json) : text);
  return 0;
}

}  // namespace

Command diagnose_command() {
  return {.name = "diagnose",
          .summary = "what each layer does: probes of a model on text or token files",
          .usage = "DIR --text FILE... | --tokens FILE... [--probe NAME...] [--json]",
          .example = "train-llm diagnose out/lns --text validation.json.gz --probe variance",
          .min_arguments = 1,
          .max_arguments = 1,
          .computes = true,
          .flags = with_text_flags(
              {{"tokens", "FILE...", "token files, in place of --text"},
               {"probe", "NAME...", "what to measure (default: all; train-llm list probes)"},
               {"max-tokens", "N", "look at the first so many (default: 262144)"}}),
          .memory_advice = "lower --batch-size or --sequence-length",
          .run = run};
}

}  // namespace fathom
