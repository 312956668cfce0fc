#include "fathom/tokenizer/tokenizer_files.h"

#include <algorithm>
#include <span>
#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/internal/file_kinds.h"
#include "fathom/base/json.h"
#include "sentencepiece_json.h"
#include "sentencepiece_model.h"

namespace fathom {
namespace {

using Algorithm = SentencePieceModel::Algorithm;

constexpr const char* kConfig = "tokenizer_config.json";
constexpr const char* kTokenizer = "tokenizer.json";
constexpr uint64_t kMaxTokenizerBytes = 64 << 20;

Json parse_file(const std::string& text, const std::string& name) {
  try {
    return parse_json(text, name);
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(error.what());
  }
}

/// The first bytes of a file.
std::string read_start(const std::filesystem::path& path) {
  std::string start(size_t{4} << 10, '\0');
  InputFile file(path);
  start.resize(file.read(std::as_writable_bytes(std::span(start))));
  return start;
}

bool is_template(const Json& step) { return step.value("type", "") == "TemplateProcessing"; }

/// The post-processor with another template for what surrounds a text, or none.
Json with_template(const Json& processor, const Json& text_template) {
  Json steps = Json::array();
  if (processor.is_object())
    steps = processor.value("type", "") == "Sequence" ? processor.at("processors")
                                                      : Json::array({processor});
  Json kept = Json::array();
  std::copy_if(steps.begin(), steps.end(), std::back_inserter(kept),
               [](const Json& step) { return !is_template(step); });
  if (!text_template.is_null()) kept.push_back(text_template);
  if (kept.size() < 2) return kept.empty() ? Json(nullptr) : kept[0];
  return {{"type", "Sequence"}, {"processors", kept}};
}

/// How a model differs from what llama.cpp takes every Llama's for, in words; "" if it doesn't.
std::string difference_from_llama(const SentencePieceModel& model) {
  switch (model.algorithm) {
    case Algorithm::kUnigram:
      return "a unigram model";
    case Algorithm::kWord:
      return "a model of words";
    case Algorithm::kChar:
      return "a model of characters";
    default:
      break;
  }
  if (!model.byte_fallback) return "a model without byte fallback";
  if (!model.character_map.empty()) return "a model that normalizes text";
  if (model.whitespace_as_suffix) return "a model with spaces at the ends of words";
  return "";
}

}  // namespace

TokenizerFiles sentencepiece_files(std::string_view tokenizer_model, const SpecialTokens& tokens,
                                   int64_t max_length, bool add_bos) {
  const std::string name = "tokenizer.model";
  TokenizerFiles files = {{name, std::string(tokenizer_model)}};
  const SentencePieceModel model = parse_sentencepiece_model(tokenizer_model, name);
  if (!has_tokenizer_json(model)) return files;
  try {
    files["tokenizer.json"] =
        tokenizer_json(tokenizer_model, model, add_bos ? tokens.bos : std::nullopt);
    files["tokenizer_config.json"] =
        tokenizer_config(model, tokens, max_length, add_bos).dump(2) + "\n";
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(cat(name, ": ", error.what()));
  }
  return files;
}

void set_adds_bos(TokenizerFiles& files, bool adds_bos, const std::string& bos, int64_t id) {
  Json config = Json::object();
  if (files.contains(kConfig)) config = parse_file(files[kConfig], kConfig);
  config["add_bos_token"] = adds_bos;
  files[kConfig] = config.dump(2) + "\n";
  if (!files.contains(kTokenizer)) return;
  Json tokenizer = parse_file(files[kTokenizer], kTokenizer);
  Json& processor = tokenizer["post_processor"];
  processor = with_template(processor, adds_bos ? bos_processor(bos, id) : Json(nullptr));
  files[kTokenizer] = tokenizer.dump() + "\n";
}

std::vector<int64_t> read_token_ids(const Json& config, const char* key) {
  const Json value = config.contains(key) ? config.at(key) : Json();
  std::vector<int64_t> ids;
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (id.is_null()) continue;
    if (!id.is_number_integer())
      throw std::invalid_argument(
          cat(key, " is ", value.dump().substr(0, 100), "; allowed: a token id or a list of them"));
    if (id >= 0) ids.push_back(id.get<int64_t>());
  }
  return ids;
}

std::vector<int64_t> read_ends(const std::filesystem::path& directory) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    std::error_code ignored;
    if (!std::filesystem::exists(directory / name, ignored)) continue;
    const std::string path = (directory / name).string();
    const Json config = parse_file(read_text_file(path, 4 << 20), path);
    try {
      return read_token_ids(config, "eos_token_id");
    } catch (const std::invalid_argument& error) {
      throw CheckpointError(cat(path, ": ", error.what()));
    }
  }
  return {};
}

std::vector<std::string> tokenizer_warnings(std::string_view tokenizer_model,
                                            const std::string& name) {
  SentencePieceModel model;
  try {
    model = parse_sentencepiece_model(tokenizer_model, name);
  } catch (const DataError&) {  // a tiktoken file, say: who loads it will tell
    return {};
  }
  std::vector<std::string> warnings;
  const std::string difference = difference_from_llama(model);
  if (!difference.empty())
    warnings.push_back(cat(name, " is ", difference,
                           ": llama.cpp takes every Llama's tokenizer.model for BPE with byte "
                           "fallback and will give other ids on most texts; for it, train with one "
                           "that train-llm tokenizer train makes by default"));
  if (!has_tokenizer_json(model))
    warnings.push_back(cat(name,
                           " is of a kind that no tokenizer.json expresses, so checkpoints "
                           "have none, and transformers' AutoTokenizer reads tokenizer.model "
                           "as BPE, with other ids on most texts; there, encode with the "
                           "sentencepiece package, or train with a BPE or unigram model"));
  return warnings;
}

TokenizerFiles read_tokenizer_files(const std::filesystem::path& directory) {
  TokenizerFiles files;
  for (const char* name : {"tokenizer.model", "tokenizer.json", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json", "vocab.json",
                           "merges.txt", "chat_template.jinja", "generation_config.json"}) {
    std::error_code ignored;
    if (std::filesystem::exists(directory / name, ignored))
      files[name] = read_text_file(directory / name, kMaxTokenizerBytes);
  }
  return files;
}

std::filesystem::path find_tokenizer(const std::filesystem::path& directory) {
  const std::filesystem::path model = directory / "tokenizer.model";
  const std::filesystem::path json = directory / "tokenizer.json";
  std::error_code ignored;
  const bool has_json = std::filesystem::exists(json, ignored);
  if (!std::filesystem::exists(model, ignored)) return has_json ? json : "";
  return has_json && is_tiktoken_file(read_start(model)) ? json : model;
}

Tokenizer load_tokenizer(const std::filesystem::path& directory) {
  const std::filesystem::path path = find_tokenizer(directory);
  if (path.empty())
    throw CheckpointError(cat(directory.string(),
                              " holds neither tokenizer.model nor tokenizer.json; copy the model's "
                              "tokenizer there"));
  return Tokenizer::load(path);
}

}  // namespace fathom
