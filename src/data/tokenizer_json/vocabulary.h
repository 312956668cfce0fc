// The ids of a tokenizer.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "data/tokenizer_engine.h"
#include "data/tokenizer_json/node.h"

namespace fathom::tokenizer_json {

/// The id of each token, added ones included.
using Ids = std::map<std::string, int32_t, std::less<>>;

/// @throws std::invalid_argument
Ids read_ids(const Node& root);

/// Size, and the special tokens that a tokenizer_config.json names.
/// @param config null: none is named
Vocabulary describe(const Ids& ids, const nlohmann::json& config);

}  // namespace fathom::tokenizer_json
