// Hugging Face's tokenizer.json behind the class Tokenizer.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "data/tokenizer_engine.h"

namespace fathom {

/// @param text content of a tokenizer.json
/// @param path where it lies: tokenizer_config.json beside it names the special tokens
/// @throws DataError if it isn't one; what it asks for beyond what Fathom has is the engine's
/// refusal
std::unique_ptr<const TokenizerEngine> json_engine(const std::string& text,
                                                   const std::filesystem::path& path);

}  // namespace fathom
