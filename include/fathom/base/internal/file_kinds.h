// What a file is by its first bytes, where its name doesn't tell.
#pragma once

#include <string_view>

namespace fathom {

/// Whether a file is a vocabulary of tiktoken: its first line is base64, a space and a rank.
/// @param start of the file, or all of it
bool is_tiktoken_file(std::string_view start);

}  // namespace fathom
