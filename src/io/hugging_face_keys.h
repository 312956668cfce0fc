// The keys of Hugging Face's config.json, in both directions.
#pragma once

#include "fathom/base/json.h"
#include "fathom/config/model_config.h"

namespace fathom {

/// What transformers needs to know of a plain model's shape and computation.
Json architecture_keys(const ModelConfig& model, bool qwen, const Choices& choices);

/// The model that the keys of a plain Llama or Qwen3 describe.
/// @throws std::invalid_argument naming the key that isn't supported
ModelConfig from_architecture_keys(const Json& config, const Choices& choices);

}  // namespace fathom
