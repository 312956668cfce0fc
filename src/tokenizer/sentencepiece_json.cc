#include "sentencepiece_json.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/json.h"
#include "user_symbols.h"

namespace fathom {
namespace {

using Kind = SentencePieceModel::Kind;
using Algorithm = SentencePieceModel::Algorithm;

constexpr const char* kSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's sign for a space
constexpr float kScoreOfNoText = -1e6F;         // of pieces that a text never becomes

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

void append(const Json& steps, Json& all) { all.insert(all.end(), steps.begin(), steps.end()); }

Json normalizer(const SentencePieceModel& model) {
  const SymbolNormalizers symbols = symbol_normalizers(model);
  Json steps = symbols.hide;
  if (!model.character_map.empty())
    steps.push_back(
        {{"type", "Precompiled"}, {"precompiled_charsmap", base64(model.character_map)}});
  if (model.remove_extra_whitespaces) {
    steps.push_back(replace_step("Regex", cat("\\A +|[ ", kSpace, "]+\\z"), ""));
    steps.push_back(replace_step("Regex", " {2,}", " "));
  }
  if (model.add_dummy_prefix)
    steps.push_back(model.whitespace_as_suffix ? replace_step("Regex", "\\z", " ")
                                               : Json{{"type", "Prepend"}, {"prepend", " "}});
  append(symbols.restore, steps);
  steps.push_back(replace_step("String", " ", kSpace));
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

Json decoder(const SentencePieceModel& model) {
  Json steps = {
      replace_step("String", kSpace, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (model.add_dummy_prefix)
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

/// Pieces that aren't made from text. Their names in a text are text, as to SentencePiece
/// (split_special_tokens in tokenizer_config.json).
Json added_tokens(const SentencePieceModel& model) {
  Json tokens = Json::array();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Kind kind = model.pieces[id].kind;
    if (kind != Kind::kUnknown && kind != Kind::kControl) continue;
    tokens.push_back({{"id", id},
                      {"content", model.pieces[id].text},
                      {"single_word", false},
                      {"lstrip", false},
                      {"rstrip", false},
                      {"normalized", false},
                      {"special", true}});
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
  for (const auto& piece : model.pieces) {
    const bool from_text = piece.kind == Kind::kNormal || piece.kind == Kind::kUserDefined;
    vocabulary.push_back({piece.text, from_text ? piece.score : kScoreOfNoText});
  }
  return {{"type", "Unigram"},
          {"unk_id", unknown_id(model)},
          {"vocab", vocabulary},
          {"byte_fallback", model.byte_fallback}};
}

/// SentencePiece merges the pair whose joint piece has the best score; the tokenizers library wants
/// the pairs in that order. A model of single characters has none.
Json merges(const SentencePieceModel& model) {
  std::map<std::string_view, size_t> ids;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.algorithm == Algorithm::kBpe && model.pieces[id].kind == Kind::kNormal)
      ids[model.pieces[id].text] = id;
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
std::string bpe(const SentencePieceModel& model, bool has_symbols) {
  std::string vocabulary;
  for (size_t id = 0; id < model.pieces.size(); ++id)
    vocabulary += cat(id == 0 ? "" : ",", Json(model.pieces[id].text).dump(), ":", id);
  const Json unknown = model.pieces[unknown_id(model)].text;
  return cat(R"({"type":"BPE","dropout":null,"unk_token":)", unknown.dump(),
             R"(,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":true)",
             R"(,"byte_fallback":)", Json(model.byte_fallback).dump(), R"(,"ignore_merges":)",
             Json(has_symbols).dump(), R"(,"vocab":{)", vocabulary, R"(},"merges":)",
             merges(model).dump(), "}");
}

const std::string& piece_of(const SentencePieceModel& model, int64_t id, const char* key) {
  if (id < 0 || id >= static_cast<int64_t>(model.pieces.size()))
    throw std::invalid_argument(cat("has no piece ", id, " for its ", key));
  return model.pieces[static_cast<size_t>(id)].text;
}

}  // namespace

bool has_tokenizer_json(const SentencePieceModel& model) {
  return model.algorithm != Algorithm::kWord && model.escape_whitespaces;
}

Json tokenizer_config(const SentencePieceModel& model, const SpecialTokens& tokens,
                      int64_t max_length, bool add_bos) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"add_bos_token", add_bos},
                 {"add_eos_token", false},
                 {"clean_up_tokenization_spaces", false},
                 {"model_max_length", max_length},
                 {"split_special_tokens", true},
                 {"unk_token", model.pieces[unknown_id(model)].text}};
  if (tokens.bos) config["bos_token"] = piece_of(model, *tokens.bos, "bos_token");
  if (!tokens.eos.empty()) config["eos_token"] = piece_of(model, tokens.eos[0], "eos_token");
  if (tokens.pad) config["pad_token"] = piece_of(model, *tokens.pad, "pad_token");
  return config;
}

Json bos_processor(const std::string& bos, int64_t id) {
  const auto sequence = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  const auto special = [&](int type) {
    return Json{{"SpecialToken", {{"id", bos}, {"type_id", type}}}};
  };
  return {{"type", "TemplateProcessing"},
          {"single", {special(0), sequence("A", 0)}},
          {"pair", {special(0), sequence("A", 0), special(1), sequence("B", 1)}},
          {"special_tokens", {{bos, {{"id", bos}, {"ids", {id}}, {"tokens", {bos}}}}}}};
}

std::string tokenizer_json(std::string_view bytes, const SentencePieceModel& model,
                           const std::optional<int64_t>& bos) {
  if (!has_tokenizer_json(model))
    throw std::invalid_argument("is of a kind that tokenizer.json can't express");
  const Json pre_tokenizer = symbol_pre_tokenizer(model, bytes);
  const Json processor =
      bos ? bos_processor(piece_of(model, *bos, "bos_token"), *bos) : Json(nullptr);
  const std::string body = model.algorithm == Algorithm::kUnigram
                               ? unigram(model).dump()
                               : bpe(model, !pre_tokenizer.is_null());
  return cat(R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)",
             added_tokens(model).dump(), R"(,"normalizer":)", normalizer(model).dump(),
             R"(,"pre_tokenizer":)", pre_tokenizer.dump(), R"(,"post_processor":)",
             processor.dump(), R"(,"decoder":)", decoder(model).dump(), R"(,"model":)", body,
             "}\n");
}

}  // namespace fathom
