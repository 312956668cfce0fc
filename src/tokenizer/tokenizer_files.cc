#include "fathom/tokenizer/tokenizer_files.h"

#include <algorithm>
#include <array>
#include <set>
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
constexpr const char* kGeneration = "generation_config.json";
constexpr const char* kTemplates = "additional_chat_templates";  // named ones, a file each
constexpr uint64_t kMaxTokenizerBytes = 64 << 20;

/// Tokenizers that transformers makes a tokenizer.json of, by a file's name or its end.
constexpr std::array kForeign{"tekken.json", "vocab.json", "sentencepiece.bpe.model", ".tiktoken"};
constexpr const char* kSentencePiece = "spiece.model";  // T5's name for tokenizer.model

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

/// The files of a directory whose names end so, sorted.
std::vector<std::string> names_in(const std::filesystem::path& directory,
                                  std::span<const char* const> ends) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool fits =
        std::any_of(ends.begin(), ends.end(), [&](const char* end) { return name.ends_with(end); });
    if (fits && entry.is_regular_file(ignored)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
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
  for (const char* name : {kGeneration, "config.json"}) {
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

std::vector<std::string> unfollowed_generation_keys(const std::filesystem::path& directory) {
  static const std::set<std::string_view> kFollowed = {
      "eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id",
      // Flags of who generates, and how transformers computes or answers.
      "do_sample", "temperature", "top_p", "max_length", "max_new_tokens", "use_cache",
      "cache_implementation", "cache_config", "return_dict_in_generate", "output_attentions",
      "output_hidden_states", "output_scores", "output_logits", "transformers_version",
      "trust_remote_code", "chat_format"};
  std::vector<std::string> names;
  std::error_code ignored;
  const std::filesystem::path path = directory / kGeneration;
  if (!std::filesystem::exists(path, ignored)) return names;
  const Json config = parse_file(read_text_file(path, 4 << 20), path.string());
  for (const auto& [key, value] : config.items()) {
    const bool is_number = value.is_number() && !key.ends_with("_id");
    const bool neutral = value.is_null() || value == false ||
                         (is_number && (value == 0 || value == 1)) ||
                         (value.is_structured() && value.empty());
    if (!neutral && !kFollowed.contains(key) && !key.starts_with("_")) names.push_back(key);
  }
  return names;
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
  for (const char* name :
       {"tokenizer.model", kTokenizer, kConfig, "special_tokens_map.json", "added_tokens.json",
        "merges.txt", "chat_template.jinja", "chat_template.json", kGeneration, kSentencePiece}) {
    std::error_code ignored;
    if (std::filesystem::exists(directory / name, ignored))
      files[name] = read_text_file(directory / name, kMaxTokenizerBytes);
  }
  for (const std::string& name : names_in(directory, kForeign))
    files[name] = read_text_file(directory / name, kMaxTokenizerBytes);
  for (const std::string& name : names_in(directory / kTemplates, std::array{".jinja"}))
    files[cat(kTemplates, "/", name)] =
        read_text_file(directory / kTemplates / name, kMaxTokenizerBytes);
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

std::string missing_tokenizer(const std::filesystem::path& directory) {
  if (!find_tokenizer(directory).empty()) return "";
  const std::string none =
      cat(directory.string(), " holds neither tokenizer.model nor ", kTokenizer);
  std::error_code ignored;
  if (const auto model = directory / kSentencePiece; std::filesystem::exists(model, ignored))
    return cat(none, "; ", kSentencePiece, " there is the first under another name: cp ",
               model.string(), " ", (directory / "tokenizer.model").string());
  const std::vector<std::string> foreign = names_in(directory, kForeign);
  if (foreign.empty()) return cat(none, "; copy the model's tokenizer there");
  return cat(none, "; transformers makes tokenizer.json of ", foreign[0],
             " there: python -c \"from transformers import AutoTokenizer as A; A.from_pretrained('",
             directory.string(), "').save_pretrained('", directory.string(), "')\"");
}

Tokenizer load_tokenizer(const std::filesystem::path& directory) {
  if (const std::string missing = missing_tokenizer(directory); !missing.empty())
    throw CheckpointError(missing);
  return Tokenizer::load(find_tokenizer(directory));
}

}  // namespace fathom
