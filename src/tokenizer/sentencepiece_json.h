// A SentencePiece model as Hugging Face's tokenizer.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "fathom/tokenizer/tokenizer_files.h"
#include "sentencepiece_model.h"

namespace fathom {

/// The tokenizers library gives the same ids with it as SentencePiece, where special tokens aren't
/// looked for in texts (split_special_tokens), but that a unigram model may choose another of two
/// splits with equal scores, and normalization may differ in sequences of combining characters.
/// @param bytes the file that `model` was read from
/// @param bos a piece that each text starts with
/// @throws std::invalid_argument for a model of words, which gives a run of unknown words one id,
/// or one that doesn't mark spaces by U+2581
std::string tokenizer_json(std::string_view bytes, const SentencePieceModel& model,
                           const std::optional<int64_t>& bos);

/// The tokenizer_config.json beside it. @throws std::invalid_argument for ids without a piece
Json tokenizer_config(const SentencePieceModel& model, const SpecialTokens& tokens,
                      int64_t max_length, bool add_bos);

/// Whether there is one for a model.
bool has_tokenizer_json(const SentencePieceModel& model);

/// The post-processor that puts a token before each text.
Json bos_processor(const std::string& bos, int64_t id);

}  // namespace fathom
