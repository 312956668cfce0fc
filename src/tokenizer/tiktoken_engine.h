// The vocabulary files of tiktoken, which Llama 3 brings as tokenizer.model, behind the class
// Tokenizer.
#pragma once

#include <memory>
#include <string_view>

#include "tokenizer/engine.h"

namespace fathom {

/// An engine that knows how many ranks a file has and refuses text: how a text is divided, and
/// which tokens are special, stands in no such file.
/// @returns null unless the file is lines of base64 and a rank
std::unique_ptr<const TokenizerEngine> tiktoken_engine(std::string_view file);

}  // namespace fathom
