// Hugging Face's tokenizer.json behind the class Tokenizer.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tokenizer/engine.h"
#include "tokenizer/settings.h"

namespace fathom {

/// @param text content of a tokenizer.json
/// @param path for messages
/// @param settings what the files beside it say; nothing where it stands alone
/// @throws DataError if it isn't one; what it asks for beyond what Fathom has is the engine's
/// refusal
std::unique_ptr<const TokenizerEngine> json_engine(
    const std::string& text, const std::filesystem::path& path,
    const std::optional<TokenizerSettings>& settings);

}  // namespace fathom
