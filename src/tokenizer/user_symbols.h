// How a tokenizer.json finds a SentencePiece model's user-defined symbols. It can't list them as
// added tokens: those are cut out of a text before it is normalized, which then puts a space before
// each part, and a text that begins with one gets none.
#pragma once

#include <string>

#include "fathom/base/json.h"
#include "sentencepiece_model.h"

namespace fathom {

/// Normalizers that hide the symbols from the normalizers between them, and bring them back.
struct SymbolNormalizers {
  Json hide = Json::array();
  Json restore = Json::array();
};

/// A step of a normalizer or decoder. @param kind "String" or "Regex"
Json replace_step(const char* kind, const std::string& pattern, const std::string& content);

/// SentencePiece doesn't normalize its symbols.
SymbolNormalizers symbol_normalizers(const SentencePieceModel& model);

/// Cuts symbols out of the normalized text, so that the model sees each alone. Null without any.
/// @param bytes the model's file
/// @throws CheckpointError if SentencePiece can't load it
Json symbol_pre_tokenizer(const SentencePieceModel& model, std::string_view bytes);

}  // namespace fathom
