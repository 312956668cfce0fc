// A SentencePiece .model, read within bounds and without protobuf: Debian's libsentencepiece
// exports protobuf symbols of its own. Everything that Fathom knows of a model comes from here.
//
// The library trusts its input: 0.1.97 crashes on long pieces and on a character map whose units
// point outside of it (sentencepiece issues 1263, 1269, 1272). What passes here is in bounds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct SentencePieceModel {
  /// By sentencepiece_model.proto.
  enum class Kind {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6
  };
  enum class Algorithm { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };
  struct Piece {
    std::string text;
    float score = 0;
    Kind kind = Kind::kNormal;
  };

  std::vector<Piece> pieces;  ///< by id
  Algorithm algorithm = Algorithm::kUnigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  std::string character_map;  ///< the normalizer's, precompiled; empty = none
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

/// Reads the protocol buffer's wire format (sentencepiece_model.proto) within these bounds: at most
/// 64 MB, 1,000,000 pieces of 1 to 1024 bytes of valid UTF-8 without NUL, finite scores, known
/// types, exactly one unknown piece, character maps whose units all stay inside, nothing left over.
/// @param name the path, for messages
/// @throws DataError if it isn't a model that is safe to use
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, std::string_view name);

/// Whether no piece reaches over a word's end: BPE with byte fallback, no normalization, and no
/// piece in which a space follows something else or a line break stands beside something else.
bool has_independent_words(const SentencePieceModel& model);

/// A piece that is no part of words: a control symbol, which no text becomes, or a symbol that its
/// maker defined, which is found in a text before anything else.
struct MarkedPiece {
  int32_t id = 0;
  std::string text;
  bool is_control = false;
};
std::vector<MarkedPiece> marked_pieces(const SentencePieceModel& model);

/// What of a model's file counts; by default all. transformers obeys little of it.
struct SentencePieceChanges {
  bool normalizes = true;      ///< else it has no character map
  bool removes_spaces = true;  ///< else spaces at the ends of a text and beside others stay
  bool keeps_suffix = true;    ///< else no space comes behind its word
  bool by_order = false;       ///< a BPE model that merges what has the lowest id

  bool operator==(const SentencePieceChanges&) const = default;
};

/// @param model that parse_sentencepiece_model accepts
std::string changed_model(std::string_view model, const SentencePieceChanges& changes);

/// How a changed model gives other ids than the model; of each what it does.
std::vector<std::string> differences(const SentencePieceModel& model,
                                     const SentencePieceModel& changed);

/// The same model with another `add_dummy_prefix` (whether a text starts with a space that isn't
/// there): a later field of a protocol buffer wins over an earlier one.
std::string with_dummy_prefix(std::string_view model, bool add_dummy_prefix);

}  // namespace fathom
