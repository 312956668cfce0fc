// The characters that stand for bytes in a byte-level vocabulary, as GPT-2 chose them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fathom::tokenizer_json {

/// U+0120 for a space: printable bytes stand for themselves, the others for U+0100 and up.
std::string_view symbol_of_byte(unsigned char byte);

/// Those of a text, one after the other.
std::string symbols_of_bytes(std::string_view text);

/// The bytes that a token stands for, or nothing if one of its characters stands for none.
std::optional<std::string> bytes_of_symbols(std::string_view token);

}  // namespace fathom::tokenizer_json
