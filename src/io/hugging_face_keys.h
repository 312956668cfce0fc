// The keys of Hugging Face's config.json, in both directions.
#pragma once

#include "families.h"
#include "fathom/base/json.h"
#include "fathom/config/model_config.h"

namespace fathom {

/// What transformers needs to know of a model's shape and computation.
/// @param family null for a model that transformers doesn't have
Json architecture_keys(const ModelConfig& model, const Family* family, const Choices& choices);

/// The model that the keys of a supported architecture describe.
/// @throws std::invalid_argument naming the key that isn't supported
ModelConfig from_architecture_keys(const Json& config, const Choices& choices);

/// Refuses attention that reaches less far than the model's longest context.
/// @throws std::invalid_argument
void check_window(const Json& config, const Family& family, const ModelConfig& model);

}  // namespace fathom
