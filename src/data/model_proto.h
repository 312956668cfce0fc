// Checks a SentencePiece model file before SentencePiece sees it.
//
// The library trusts its input: 0.1.97 crashes on long pieces and on a character map whose units
// point outside of it (sentencepiece issues 1263, 1269, 1272). What passes here is in bounds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

/// A piece that is no part of words: a control symbol, which no text becomes, or a symbol that its
/// maker defined, which is found in a text before anything else.
struct MarkedPiece {
  int32_t id = 0;
  std::string text;
  bool is_control = false;
};

/// What Fathom needs to know of a model beyond what the library tells.
struct ModelProtoInfo {
  size_t num_pieces = 0;
  bool add_dummy_prefix = true;
  /// BPE with byte fallback, no normalization, and no piece in which a space follows something else
  /// or a line break stands beside something else: then no piece reaches over a word's end.
  bool independent_words = false;
  std::vector<MarkedPiece> marked;
};

/// Reads the protocol buffer's wire format (sentencepiece_model.proto) within these bounds: at most
/// 64 MB, 1,000,000 pieces of 1 to 1024 bytes of valid UTF-8 without NUL, finite scores, known
/// types, exactly one unknown piece, character maps whose units all stay inside, nothing left over.
/// @param name the path, for messages
/// @throws DataError
ModelProtoInfo check_model_proto(std::string_view bytes, std::string_view name);

/// The same model with another `add_dummy_prefix` (whether a text starts with a space that isn't
/// there): a later field of a protocol buffer wins over an earlier one.
std::string with_dummy_prefix(std::string_view model, bool add_dummy_prefix);

}  // namespace fathom
