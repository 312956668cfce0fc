// The ids of a tokenizer.json.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/tokenizer_json/node.h"

namespace fathom::tokenizer_json {

/// The id of each token, added ones included.
using Ids = std::map<std::string, int32_t, std::less<>>;

/// The id of a token of a vocabulary, an object of tokens and ids. @throws std::invalid_argument
int32_t token_id(const Node& vocabulary, const std::string& token, const nlohmann::json& id);

/// @throws std::invalid_argument
Ids read_ids(const Node& root);

/// The tokens that are found in a text before its model sees what lies between them.
/// @throws std::invalid_argument
std::vector<AddedToken> read_added(const Node& root);

/// The largest id + 1.
int64_t size_of(const Ids& ids);

}  // namespace fathom::tokenizer_json
