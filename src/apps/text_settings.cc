#include "apps/text_settings.h"

#include <algorithm>

#include "apps/data_flags.h"
#include "fathom/base/error.h"
#include "fathom/run/checkpoint.h"

namespace fathom {
namespace {

bool truth(const Invocation& invocation, const char* flag, bool fallback) {
  return one_of(invocation, flag, fallback ? "true" : "false", {"true", "false"}) == "true";
}

}  // namespace

std::vector<Flag> with_row_flags(std::vector<Flag> flags) {
  std::vector<Flag> all = {
      {"mode", "packed|documents",
       "how rows are made of documents (default: the run's, or packed)"},
      {"sequence-length", "N", "tokens in a row (default: the run's, or 256)"},
      {"document-attention", "true|false",
       "attention stays within a document (default: the run's, or false)"},
      {"add-bos", "true|false",
       "each document starts with BOS (default: the run's, or the tokenizer's)"}};
  all = with_read_flags(std::move(all));
  all.insert(all.end(), flags.begin(), flags.end());
  return all;
}

DataConfig text_settings(const Invocation& invocation, const std::filesystem::path& model_directory,
                         const Tokenizer& tokenizer, int64_t longest) {
  DataConfig run;
  run.sequence_length = std::min<int64_t>(256, longest);
  run.add_bos = tokenizer.adds_bos();
  read_data_settings(model_directory, run, invocation.choices());
  DataConfig data;
  data.mode = one_of(invocation, "mode", run.mode, {"packed", "documents"});
  data.sequence_length =
      invocation.integer("sequence-length", std::min(run.sequence_length, longest), 2, longest);
  data.document_attention =
      truth(invocation, "document-attention", run.document_attention && data.mode == "packed");
  if (data.document_attention && data.mode != "packed")
    throw ConfigError("--document-attention is true, but counts where --mode is packed");
  data.add_bos = truth(invocation, "add-bos", run.add_bos);
  const ReadOptions read = read_options(invocation, ReadOptions::from(run));
  data.text_field = read.text_field;
  data.on_missing_text = read.on_missing_text;
  data.on_invalid_utf8 = read.on_invalid_utf8;
  data.max_document_bytes = read.max_document_bytes;
  return data;
}

Json settings_json(const DataConfig& settings) {
  return {{"mode", settings.mode},
          {"sequence_length", settings.sequence_length},
          {"document_attention", settings.document_attention},
          {"add_bos", settings.add_bos},
          {"text_field", settings.text_field},
          {"on_missing_text", settings.on_missing_text},
          {"on_invalid_utf8", settings.on_invalid_utf8},
          {"max_document_bytes", settings.max_document_bytes}};
}

std::string settings_text(const DataConfig& settings) {
  const Json json = settings_json(settings);
  std::vector<std::string> values;
  for (const auto& [key, value] : json.items())
    values.push_back(cat(key, "=", value.is_string() ? value.get<std::string>() : value.dump()));
  return join(values, " ");
}

}  // namespace fathom
