// RoPE in Hugging Face's config.json.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "fathom/base/json.h"
#include "fathom/config/fields.h"

namespace fathom {

/// Objects that hold keys of RoPE: of transformers 4, and of 5, which has rope_theta in it, too.
inline constexpr std::array kRopeSections{"rope_scaling", "rope_parameters"};

/// The value, with null for a key that isn't there.
Json value_of(const Json& object, const std::string& key);

/// @throws std::invalid_argument "key is value; reason"
[[noreturn]] void refuse(const std::string& key, const Json& value, const std::string& reason);

struct RopeKeys {
  Json model = Json::object();  ///< rope_theta and rope_scaling, as ModelConfig has them
  std::vector<std::string> read_over = {};  ///< keys that the type doesn't read
};

/// Reads what transformers reads: the keys of the type that is named, with the context that the
/// type was trained for.
/// @param longest max_position_embeddings, or null for ModelConfig's default
/// @throws std::invalid_argument naming the key
RopeKeys read_rope(const Json& config, const Json& longest, const Choices& choices);

}  // namespace fathom
