// SentencePiece models behind the class Tokenizer.
#pragma once

#include <memory>
#include <string>

#include "data/tokenizer_engine.h"

namespace fathom {

/// @param model the file's content, which is checked first
/// @param name the path, for messages
/// @throws DataError if it isn't a model that is safe to use
std::unique_ptr<const TokenizerEngine> sentencepiece_engine(const std::string& model,
                                                            const std::string& name);

}  // namespace fathom
