// A SentencePiece model as Hugging Face's tokenizer.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "fathom/io/hugging_face.h"
#include "sentencepiece_model.h"

namespace fathom {

/// The tokenizers library gives the same ids with it as SentencePiece, with these exceptions: the
/// names of special tokens in a text become those tokens, a unigram model may choose another of two
/// splits with equal scores, and normalization may differ in sequences of combining characters.
/// @throws std::invalid_argument for a model that is neither unigram nor BPE, or that marks spaces
/// in another way than by a leading U+2581
std::string tokenizer_json(const SentencePieceModel& model);

}  // namespace fathom
