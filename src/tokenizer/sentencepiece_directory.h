// A SentencePiece model with what Hugging Face's files beside it say.
#pragma once

#include <memory>
#include <string>

#include "tokenizer/engine.h"
#include "tokenizer/settings.h"

namespace fathom {

/// Gives the ids that transformers gives with these files, and in decoding leaves out special
/// tokens, as its skip_special_tokens does.
/// @param model content of tokenizer.model; BPE, as transformers takes it for that
/// @param name the path, for messages
/// @throws DataError if it isn't a model that is safe to use
std::unique_ptr<const TokenizerEngine> sentencepiece_directory_engine(
    const std::string& model, const std::string& name, const TokenizerSettings& settings);

}  // namespace fathom
