#include "tokenizer_json.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/json.h"

namespace fathom {
namespace {

using Kind = SentencePieceModel::Kind;
using Algorithm = SentencePieceModel::Algorithm;

constexpr const char* kSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's sign for a space

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const std::string_view group = bytes.substr(i, 3);
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (j < group.size() ? static_cast<unsigned char>(group[j]) : 0U);
    for (size_t j = 0; j < 4; ++j)
      text += j <= group.size() ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

bool is_expressible(const SentencePieceModel& model) {
  return (model.algorithm == Algorithm::kUnigram || model.algorithm == Algorithm::kBpe) &&
         model.escape_whitespaces && !model.whitespace_as_suffix;
}

Json replace(const char* kind, const std::string& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

Json normalizer(const SentencePieceModel& model) {
  Json steps = Json::array();
  if (!model.character_map.empty())
    steps.push_back(
        {{"type", "Precompiled"}, {"precompiled_charsmap", base64(model.character_map)}});
  if (model.remove_extra_whitespaces) {
    steps.push_back(replace("Regex", "\\A +| +\\z", ""));
    steps.push_back(replace("Regex", " {2,}", " "));
  }
  if (model.add_dummy_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
  steps.push_back(replace("String", " ", kSpace));
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

Json decoder(const SentencePieceModel& model) {
  Json steps = {replace("String", kSpace, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (model.add_dummy_prefix)
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

/// Pieces that aren't made from text: found before the text is normalized.
Json added_tokens(const SentencePieceModel& model) {
  Json tokens = Json::array();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Kind kind = model.pieces[id].kind;
    if (kind != Kind::kUnknown && kind != Kind::kControl && kind != Kind::kUserDefined) continue;
    tokens.push_back({{"id", id},
                      {"content", model.pieces[id].text},
                      {"single_word", false},
                      {"lstrip", false},
                      {"rstrip", false},
                      {"normalized", false},
                      {"special", kind != Kind::kUserDefined}});
  }
  return tokens;
}

size_t unknown_id(const SentencePieceModel& model) {
  const auto unknown = std::find_if(model.pieces.begin(), model.pieces.end(),
                                    [](const auto& p) { return p.kind == Kind::kUnknown; });
  if (unknown == model.pieces.end()) throw std::invalid_argument("has no piece for the unknown");
  return static_cast<size_t>(unknown - model.pieces.begin());
}

Json unigram(const SentencePieceModel& model) {
  Json vocabulary = Json::array();
  for (const auto& piece : model.pieces) vocabulary.push_back({piece.text, piece.score});
  return {{"type", "Unigram"},
          {"unk_id", unknown_id(model)},
          {"vocab", vocabulary},
          {"byte_fallback", model.byte_fallback}};
}

/// SentencePiece merges the pair whose joint piece has the best score; the tokenizers library wants
/// the pairs in that order.
Json merges(const SentencePieceModel& model) {
  std::map<std::string_view, size_t> ids;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Kind kind = model.pieces[id].kind;
    if (kind == Kind::kNormal || kind == Kind::kUserDefined) ids[model.pieces[id].text] = id;
  }
  struct Merge {
    float score;
    size_t left, right;
  };
  std::vector<Merge> found;
  for (const auto& [text, id] : ids) {
    for (size_t cut = 1; cut < text.size(); ++cut) {
      const auto left = ids.find(text.substr(0, cut));
      const auto right = ids.find(text.substr(cut));
      if (left != ids.end() && right != ids.end())
        found.push_back({model.pieces[id].score, left->second, right->second});
    }
  }
  std::sort(found.begin(), found.end(), [](const Merge& a, const Merge& b) {
    return std::tie(b.score, a.left, a.right) < std::tie(a.score, b.left, b.right);
  });
  Json pairs = Json::array();
  for (const Merge& merge : found)
    pairs.push_back(cat(model.pieces[merge.left].text, " ", model.pieces[merge.right].text));
  return pairs;
}

/// As text: nlohmann's ordered objects look each key up linearly.
std::string bpe(const SentencePieceModel& model) {
  std::string vocabulary;
  for (size_t id = 0; id < model.pieces.size(); ++id)
    vocabulary += cat(id == 0 ? "" : ",", Json(model.pieces[id].text).dump(), ":", id);
  const Json unknown = model.pieces[unknown_id(model)].text;
  return cat(R"({"type":"BPE","dropout":null,"unk_token":)", unknown.dump(),
             R"(,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":true)",
             R"(,"byte_fallback":)", Json(model.byte_fallback).dump(), R"(,"vocab":{)", vocabulary,
             R"(},"merges":)", merges(model).dump(), "}");
}

Json tokenizer_config(const SentencePieceModel& model, const SpecialTokens& tokens,
                      int64_t max_length) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"add_bos_token", false},
                 {"add_eos_token", false},
                 {"clean_up_tokenization_spaces", false},
                 {"model_max_length", max_length},
                 {"unk_token", model.pieces[unknown_id(model)].text}};
  const auto add = [&](const char* key, const std::optional<int64_t>& id) {
    if (!id) return;
    if (*id < 0 || *id >= static_cast<int64_t>(model.pieces.size()))
      throw std::invalid_argument(cat("has no piece ", *id, " for its ", key));
    config[key] = model.pieces[static_cast<size_t>(*id)].text;
  };
  add("bos_token", tokens.bos);
  add("eos_token", tokens.eos.empty() ? std::nullopt : std::optional(tokens.eos[0]));
  add("pad_token", tokens.pad);
  return config;
}

}  // namespace

std::string tokenizer_json(const SentencePieceModel& model) {
  if (!is_expressible(model))
    throw std::invalid_argument("is of a kind that tokenizer.json can't express");
  const std::string body =
      model.algorithm == Algorithm::kUnigram ? unigram(model).dump() : bpe(model);
  return cat(R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)",
             added_tokens(model).dump(), R"(,"normalizer":)", normalizer(model).dump(),
             R"(,"pre_tokenizer":null,"post_processor":null,"decoder":)", decoder(model).dump(),
             R"(,"model":)", body, "}\n");
}

TokenizerFiles sentencepiece_files(std::string_view tokenizer_model, const SpecialTokens& tokens,
                                   int64_t max_length) {
  const std::string name = "tokenizer.model";
  TokenizerFiles files = {{name, std::string(tokenizer_model)}};
  const SentencePieceModel model = parse_sentencepiece_model(tokenizer_model, name);
  if (!is_expressible(model)) return files;
  try {
    files["tokenizer.json"] = tokenizer_json(model);
    files["tokenizer_config.json"] = tokenizer_config(model, tokens, max_length).dump(2) + "\n";
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(cat(name, ": ", error.what()));
  } catch (const nlohmann::json::exception& error) {  // a piece that isn't UTF-8
    throw CheckpointError(cat(name, ": ", error.what()));
  }
  return files;
}

}  // namespace fathom
