#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>

#include "apps/commands.h"
#include "apps/data_flags.h"
#include "fathom/base/internal/output_path.h"
#include "fathom/base/json.h"
#include "fathom/config/errors.h"
#include "fathom/config/presets.h"
#include "fathom/data/find_files.h"
#include "fathom/data/prepare.h"
#include "fathom/data/prepared.h"

namespace fathom {
namespace {

constexpr const char* kOutputName = "data.tokens";

Json facts_of(const std::string& name, const std::filesystem::path& path,
              const TokenFileInfo& info) {
  return {{"name", name},
          {"path", path.string()},
          {"documents", info.num_documents},
          {"tokens", info.num_tokens},
          {"vocab_size", info.vocab_size},
          {"empty_documents", info.empty_documents},
          {"skipped_documents", info.skipped_documents},
          {"replacements", info.replacements},
          {"content_sha256", info.content_checksum}};
}

constexpr const char* kTextUsage = "train-llm prepare FILE... --tokenizer F.model --output DIR";

bool is_preset(const std::string& name) {
  const std::vector<std::string> names = preset_names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Text files to DIR/data.tokens, without a config.
Json prepare_text_files(Invocation& invocation) {
  for (const char* flag : {"tokenizer", "output"}) {
    if (!invocation.has(flag)) throw ConfigError(cat("--", flag, " is missing: ", kTextUsage));
  }
  for (const std::string& argument : invocation.arguments()) {
    if (is_preset(argument) && !std::filesystem::exists(argument))
      throw ConfigError(cat(argument, " is a preset, and --tokenizer and --output are for text ",
                            "files; with a config: train-llm prepare ", argument,
                            " data.train=TEXT data.tokenizer=F.model"));
  }
  if (!invocation.overrides().empty())
    throw ConfigError(cat(invocation.overrides()[0].path,
                          " has no effect without a config; with --output use the flags"));
  const std::string tokenizer_file = required_text(invocation, "tokenizer");
  const std::filesystem::path folder = resolve_output(required_text(invocation, "output"));
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_file);
  warn_of_ids(tokenizer, invocation.log());
  PrepareOptions options;
  options.read = read_options(invocation);
  options.add_bos = invocation.has("add-bos");
  const std::vector<DataFile> files = find_files(invocation.arguments(), &invocation.log());
  require_text(files);  // before a folder is made
  make_directories(folder);
  Progress progress("prepare", static_cast<double>(total_bytes(files)));
  const TokenFileInfo info =
      prepare(files, tokenizer, options, folder / kOutputName, &progress, invocation.stop());
  warn_of_gaps(info, "prepare", invocation.log());
  return Json::array({facts_of("data", folder / kOutputName, info)});
}

/// The data keys of the config that the argument names, which may be a text by mistake.
DataConfig load_data_config(const Invocation& invocation) {
  const std::filesystem::path path = invocation.arguments()[0];
  const std::string extension = path.extension().string();
  const bool may_be_config = extension == ".yaml" || extension == ".yml" || extension == ".json";
  const std::string missing = cat("--tokenizer and --output are missing: ", kTextUsage);
  if (std::filesystem::exists(path) && !may_be_config && !is_preset(path.string()))
    throw ConfigError(cat(path.string(), " is text, no config; ", missing));
  try {
    return invocation.load_config().config.data;
  } catch (const ConfigError& error) {
    if (extension != ".json" || !std::filesystem::exists(path)) throw;
    throw ConfigErrors({error.what(), cat("if ", path.string(), " is text: ", missing)});
  }
}

/// The data of a config, into its cache.
Json prepare_config(Invocation& invocation) {
  for (const Flag& flag : prepare_command().flags) {
    if (flag.name != "json" && invocation.has(flag.name))
      throw ConfigError(cat("--", flag.name,
                            " needs --tokenizer and --output; with a config set "
                            "its data keys"));
  }
  if (invocation.arguments().size() > 1)
    throw ConfigError(cat("with several files, --tokenizer and --output are needed: ", kTextUsage));
  const DataConfig data = load_data_config(invocation);
  if (data.tokenizer.empty())
    throw ConfigError("data.tokenizer is missing; set it to a .model file");
  const Tokenizer tokenizer = Tokenizer::load(data.tokenizer);
  warn_of_ids(tokenizer, invocation.log());
  Json facts = Json::array();
  const auto add = [&](const std::string& name, const std::vector<std::string>& inputs) {
    if (inputs.empty()) return;
    for (const TokenFile& file :
         prepared(inputs, data, tokenizer, "prepare " + name, invocation.log(), invocation.stop()))
      facts.push_back(facts_of(name, file.path(), file.info()));
  };
  add("data.train", data.train);
  add("data.validation", data.validation);
  if (facts.empty()) throw ConfigError("data.train and data.validation are empty; name text files");
  return facts;
}

int run(Invocation& invocation) {
  const bool has_config = !invocation.has("tokenizer") && !invocation.has("output");
  const Json facts = has_config ? prepare_config(invocation) : prepare_text_files(invocation);
  std::string text;
  for (const Json& file : facts)
    text += cat(file["path"].get<std::string>(), ": ", file["name"].get<std::string>(), ", ",
                file["documents"].get<uint64_t>(), " documents, ", file["tokens"].get<uint64_t>(),
                " tokens\n");
  invocation.print(invocation.has("json") ? json_text(facts) : text);
  return 0;
}

}  // namespace

Command prepare_command() {
  return {.name = "prepare",
          .summary = "turns text into token files (train does it by itself where needed)",
          .usage = "CONFIG [overrides] | FILE... --tokenizer F.model --output DIR",
          .example = "train-llm prepare books/ --tokenizer books.model --output prepared",
          .min_arguments = 1,
          .max_arguments = SIZE_MAX,
          .takes_config = true,
          .computes = true,
          .flags = with_read_flags({{"tokenizer", "FILE", "SentencePiece .model file"},
                                    {"output", "DIR", "where data.tokens is written"},
                                    {"add-bos", "", "each document starts with BOS"},
                                    {"json", "", "print JSON"}}),
          .memory_advice = "lower --max-document-bytes (data.max_document_bytes with a config)",
          .run = run};
}

}  // namespace fathom
