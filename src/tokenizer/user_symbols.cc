#include "user_symbols.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <map>
#include <vector>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using Kind = SentencePieceModel::Kind;
using Algorithm = SentencePieceModel::Algorithm;

constexpr uint32_t kFirstPrivate = 0xF0000;  // 65,534 characters that no text should have

/// A character of Unicode's plane 15.
std::string private_character(size_t index) {
  const auto code = kFirstPrivate + static_cast<uint32_t>(index);
  return {static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 0x3F)),
          static_cast<char>(0x80 | (code >> 6 & 0x3F)), static_cast<char>(0x80 | (code & 0x3F))};
}

/// The longest first, as SentencePiece prefers them.
std::vector<std::string> symbols_of(const SentencePieceModel& model) {
  std::vector<std::string> symbols;
  for (const auto& piece : model.pieces) {
    if (piece.kind == Kind::kUserDefined) symbols.push_back(piece.text);
  }
  std::stable_sort(symbols.begin(), symbols.end(),
                   [](const auto& a, const auto& b) { return a.size() > b.size(); });
  return symbols;
}

/// For Oniguruma.
std::string escaped(std::string_view text) {
  constexpr std::string_view kSpecial = "\\.^$|?*+()[]{}-#&~/<>=!,:\"'";
  std::string pattern;
  for (const char c : text) {
    if (kSpecial.find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

std::string any_of(const std::vector<std::string>& texts) {
  std::vector<std::string> patterns;
  for (const std::string& text : texts) patterns.push_back(escaped(text));
  return join(patterns, "|");
}

/// The part of `name` that becomes the first piece where it stands between two symbols.
std::string first_piece(const sentencepiece::SentencePieceProcessor& processor,
                        const std::string& symbol, const std::string& name) {
  bool behind_symbol = false;
  const auto encoded = processor.EncodeAsImmutableProto(symbol + name + symbol);
  for (const auto& piece : encoded.pieces()) {
    if (behind_symbol && !piece.surface().empty()) return piece.surface();
    behind_symbol = behind_symbol || piece.surface() == symbol;
  }
  return name;
}

/// The names of pieces that no text becomes: what follows their first piece, by that piece.
std::map<std::string, std::vector<std::string>> names_by_first_piece(
    const SentencePieceModel& model, std::string_view bytes, const std::string& symbol) {
  sentencepiece::SentencePieceProcessor processor;
  const auto status = processor.LoadFromSerializedProto(std::string(bytes));
  if (!status.ok()) throw CheckpointError(cat("tokenizer.model: ", status.message()));
  std::map<std::string, std::vector<std::string>> names;
  for (const auto& piece : model.pieces) {
    if (piece.kind == Kind::kNormal || piece.kind == Kind::kUserDefined) continue;
    const std::string first = first_piece(processor, symbol, piece.text);
    if (piece.text.starts_with(first)) names[first].push_back(piece.text.substr(first.size()));
  }
  return names;
}

}  // namespace

Json replace_step(const char* kind, const std::string& pattern, const std::string& content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

SymbolNormalizers symbol_normalizers(const SentencePieceModel& model) {
  SymbolNormalizers steps;
  if (model.character_map.empty() && !model.remove_extra_whitespaces) return steps;
  const std::vector<std::string> symbols = symbols_of(model);
  for (size_t i = 0; i < symbols.size(); ++i) {
    steps.hide.push_back(replace_step("String", symbols[i], private_character(i)));
    steps.restore.push_back(replace_step("String", private_character(i), symbols[i]));
  }
  return steps;
}

Json symbol_pre_tokenizer(const SentencePieceModel& model, std::string_view bytes) {
  std::vector<std::string> symbols = symbols_of(model);
  // A normalized text has no ' ', and SentencePiece looks for the symbols in it.
  std::erase_if(symbols, [](const std::string& text) { return text.find(' ') != text.npos; });
  if (symbols.empty()) return nullptr;
  const std::string symbol = any_of(symbols);
  std::vector<std::string> patterns = {symbol};
  // A part that is a piece as a whole becomes that piece (ignore_merges). The name of a byte or of
  // a control symbol between two symbols must not, so it is cut after its first piece.
  if (model.algorithm != Algorithm::kUnigram) {
    for (const auto& [first, rests] : names_by_first_piece(model, bytes, symbols[0]))
      patterns.push_back(cat("(?<=", symbol, "|\\A)", escaped(first), "(?=(?:", any_of(rests),
                             ")(?:", symbol, "|\\z))"));
  }
  return {{"type", "Split"},
          {"pattern", {{"Regex", join(patterns, "|")}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

}  // namespace fathom
