// The parts of a SentencePiece .model that Hugging Face's tokenizers need, read without protobuf:
// Debian's libsentencepiece exports protobuf symbols of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct SentencePieceModel {
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

/// @param bytes the file's content
/// @param file names it in messages
/// @throws CheckpointError if it isn't a SentencePiece model
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, std::string_view file);

}  // namespace fathom
