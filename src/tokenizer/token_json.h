// Tokens in the JSON files of a tokenizer; errors name the file and the place.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tokenizer/added_tokens.h"

namespace fathom {

// Sorted, not in order: a vocabulary has 100,000 keys and more.
using SortedJson = nlohmann::json;

/// The content of a file as JSON, null where there is none. @throws DataError if it isn't JSON
template <typename AnyJson>
AnyJson read_tokenizer_json(const std::filesystem::path& path);

bool flag(const SortedJson& object, const char* key, bool fallback);
std::string text(const SortedJson& object, const char* key);

/// Whether a value is a text or an object with content.
bool is_token(const SortedJson& value);
/// A text, which transformers takes for a special token, or an object. Its id isn't set.
/// @param where file and key, for messages @throws DataError
AddedToken to_token(const SortedJson& value, const std::string& where);

/// @throws DataError unless it is a number from 0 to the largest id
int64_t to_id(const SortedJson& value, const std::string& where);
/// Likewise an id that is the name of a key.
int64_t to_id(const std::string& key, const std::string& where);

}  // namespace fathom
