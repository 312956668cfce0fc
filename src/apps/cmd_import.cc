// train-llm import and export: model directories from and for Hugging Face's libraries.

#include <array>

#include "apps/commands.h"
#include "apps/data_flags.h"
#include "fathom/base/json.h"
#include "fathom/base/names.h"
#include "fathom/base/number.h"
#include "fathom/hugging_face/model_files.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/runtime/device.h"
#include "fathom/tokenizer/tokenizer_files.h"

namespace fathom {
namespace {

struct Unit {
  std::string_view name;
  uint64_t bytes;
};
constexpr std::array kUnits{Unit{"KB", 1000},     Unit{"MB", 1'000'000}, Unit{"GB", 1'000'000'000},
                            Unit{"KiB", 1 << 10}, Unit{"MiB", 1 << 20},  Unit{"GiB", 1 << 30}};

/// "5GB", as transformers writes it.
uint64_t shard_bytes(const Invocation& invocation) {
  const std::string text = invocation.text("max-shard-size", "5GB");
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    std::string advice;
    const auto count = parse_integer(text.substr(0, text.size() - unit.name.size()), advice);
    if (count && *count > 0 && *count <= 1'000'000)
      return static_cast<uint64_t>(*count) * unit.bytes;
  }
  throw ConfigError(cat("--max-shard-size is '", text, "'; allowed: a whole number with ",
                        join(names_of(kUnits)), ", such as 5GB"));
}

struct WeightType {
  std::string_view name;
  torch::ScalarType type;
};
constexpr std::array kWeightTypes{WeightType{"bf16", torch::kBFloat16},
                                  WeightType{"fp32", torch::kFloat32}};

int report(Invocation& invocation, const std::filesystem::path& directory,
           const CopiedModel& copied) {
  warn_of_read_over(directory, copied.source, invocation.log());
  const std::string& placement = copied.source.model.norm.placement;
  if (copied.gains_folded)
    invocation.log().info(
        cat("the scales and gains of ", placement,
            " are in the weights now, and any runtime of the architecture computes "
            "the same; to train on, use the checkpoint itself"));
  const ModelDescription& model = copied.description;
  const Json config = Json::parse(config_json(model, invocation.choices()));
  const Json facts = {{"output", invocation.text("output", "")},
                      {"architecture", config.at("architectures").at(0)},
                      {"placement", placement},
                      {"dtype", model.dtype}};
  if (invocation.has("json")) {
    invocation.print(json_text(facts));
  } else {
    for (const auto& [name, value] : facts.items())
      invocation.print(
          cat(name, std::string(14 - name.size(), ' '), value.get<std::string>(), "\n"));
  }
  return 0;
}

int run_import(Invocation& invocation) {
  apply_runtime_settings({});
  const std::string output = required_text(invocation, "output");
  for (const Override& override : invocation.overrides()) {
    if (!override.path.starts_with("model."))
      throw ConfigError(cat(override.path, " is no key of the model; only model.KEY=VALUE counts"));
  }
  const auto directory = find_model(invocation.arguments()[0], invocation.stop(), invocation.log());
  const CopiedModel copied = copy_model(directory, output, {.overrides = invocation.overrides()},
                                        invocation.choices(), invocation.stop());
  if (const std::string missing = missing_tokenizer(output); !missing.empty())
    invocation.log().warn(missing);
  return report(invocation, directory, copied);
}

int run_export(Invocation& invocation) {
  apply_runtime_settings({});
  const std::string output = required_text(invocation, "output");
  const std::string format = required_text(invocation, "to");
  if (format != "hf") throw ConfigError(cat("--to is '", format, "'; allowed: hf"));
  CopyOptions options{.fold_gains = true};
  options.max_shard_bytes = shard_bytes(invocation);
  if (invocation.has("dtype"))
    options.dtype = find_row(kWeightTypes, invocation.text("dtype", ""), "--dtype").type;
  const auto directory = find_model(invocation.arguments()[0], invocation.stop(), invocation.log());
  const auto tokenizer = read_tokenizer_files(directory).extract("tokenizer.model");
  if (!tokenizer.empty()) {
    for (const std::string& warning : tokenizer_warnings(tokenizer.mapped(), "tokenizer.model"))
      invocation.log().warn(warning);
  }
  return report(invocation, directory,
                copy_model(directory, output, options, invocation.choices(), invocation.stop()));
}

}  // namespace

Command import_command() {
  return {.name = "import",
          .summary = "takes in a Hugging Face model: Llama, Mistral, Qwen2, Qwen3, OLMo 2",
          .usage = "DIR --output DIR [model.KEY=VALUE...] [--json]",
          .example =
              "train-llm import Qwen2.5-0.5B --output qwen\n"
              "  train-llm import lns-1b --output lns model.norm.placement=lns",
          .min_arguments = 1,
          .max_arguments = 1,
          .takes_model_keys = true,
          .computes = true,
          .flags = {{"output", "DIR", "the new directory, for train.init_from, eval, generate"},
                    {"json", "", "print JSON"}},
          .run = run_import};
}

Command export_command() {
  return {
      .name = "export",
      .summary = "writes a model for transformers and what reads its files",
      .usage = "DIR --to hf --output DIR [--dtype bf16|fp32] [--max-shard-size SIZE] [--json]",
      .example = "train-llm export out/lns --to hf --output lns-hf --dtype bf16",
      .min_arguments = 1,
      .max_arguments = 1,
      .computes = true,
      .flags = {{"to", "hf", "the format: a Hugging Face model directory"},
                {"output", "DIR", "the new directory"},
                {"dtype", "bf16|fp32",
                 "type of the weights (default: as they are); gains that hold a factor stay fp32"},
                {"max-shard-size", "SIZE", "larger weights become several files (default: 5GB)"},
                {"json", "", "print JSON"}},
      .run = run_export};
}

}  // namespace fathom
