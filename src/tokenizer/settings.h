// What Hugging Face's files beside a tokenizer's say of it, as transformers 5 reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/auto_class.h"
#include "tokenizer/sentencepiece_model.h"

namespace fathom {

/// Where a tokenizer puts a space before a text for SentencePiece.
struct SpaceBefore {
  enum class Where { kNowhere, kText, kEveryStretch, kAsModel };
  /// The start of a text, or also the text behind each added token, which kAsModel does if the
  /// model's own file asks for a space.
  Where where = Where::kText;
  bool unless_there = false;  ///< not where there is one already
  bool normalized = false;    ///< it is put there before normalized tokens are looked for

  bool operator==(const SpaceBefore&) const = default;
};

/// tokenizer_config.json, special_tokens_map.json, added_tokens.json, and tokenizer.json but for
/// its model. transformers reads the last two of a directory without `added_tokens_decoder` only.
struct TokenizerSettings {
  /// Without ids (-1), in the order in which those get them that aren't pieces of the model.
  std::vector<AddedToken> tokens;
  bool lists_extra_tokens = false;  ///< or else what the model itself marks is looked for in texts
  bool split_special_tokens = false;  ///< the names of special tokens in a text are text
  bool adds_bos = false;              ///< each text starts with BOS
  AutoClass auto_class;
  bool only_model_type = false;  ///< all there is beside it is a config.json
  bool has_json = false;         ///< there is a tokenizer.json
  bool json_is_bpe = false;      ///< and its model is BPE
  SpaceBefore space;
  SentencePieceChanges changes;                ///< to tokenizer.model
  std::vector<std::string> left_to_model;      ///< special tokens that the model itself names
  bool strips_space = true;                    ///< decoding leaves out a space at the start
  int64_t model_size = INT64_MAX;              ///< ids that the model of config.json has
  std::map<std::string, std::string> special;  ///< "bos_token", "eos_token" ...: the content

  /// Whether transformers takes what isn't said here from tokenizer.model.
  bool is_built_from_model() const { return !has_json && auto_class.built_as == BuiltAs::kFile; }
  /// Whether a tokenizer.json is taken as it is, and not built anew from its vocabulary.
  bool obeys_json() const {
    return has_json &&
           (auto_class.built_as == BuiltAs::kFile || auto_class.built_as == BuiltAs::kOther);
  }
};

/// @param tokenizer path of a file; one of another name than tokenizer.model or tokenizer.json
/// stands alone
/// @returns nothing where no such file lies beside it, nor, for a tokenizer.model, a config.json
/// @throws DataError naming the file that isn't as it should be
std::optional<TokenizerSettings> read_tokenizer_settings(const std::filesystem::path& tokenizer);

}  // namespace fathom
