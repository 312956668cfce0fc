// What a file is by its first bytes, where its name doesn't tell.
#pragma once

#include <string_view>

namespace fathom {

/// Whether a file is a vocabulary of tiktoken: its first line is base64, a space and a rank.
/// @param start of the file, or all of it
bool is_tiktoken_file(std::string_view start);

/// What a file is that lies where another kind belongs, for a message: a page of an error, JSON,
/// an archive. Empty where its first bytes don't tell.
std::string_view foreign_kind(std::string_view start);

}  // namespace fathom
