// Strict JSON: duplicate keys, deep nesting and trailing text are errors, with the line.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace fathom {

using Json = nlohmann::ordered_json;

/// Parses a JSON text. Duplicate keys and more than 64 levels are refused, so copying and dumping
/// the result is safe.
/// @param where names the text in messages (a path)
/// @throws std::invalid_argument with "where:line: reason"; callers turn it into the error type of
/// their file
Json parse_json(std::string_view text, std::string_view where);

/// What an exception of the library says, without its own name and number.
std::string json_reason(const nlohmann::json::exception& error);

/// A page of JSON, for people and programs. What isn't UTF-8, as a file's name may be, comes out as
/// U+FFFD.
std::string json_text(const Json& json);

}  // namespace fathom
