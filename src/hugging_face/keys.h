// The keys of Hugging Face's config.json, in both directions.
#pragma once

#include "families.h"
#include "fathom/base/json.h"
#include "fathom/config/model_config.h"

namespace fathom {

/// What transformers needs to know of a model's shape and computation.
/// @param family null for a model that transformers doesn't have
Json architecture_keys(const ModelConfig& model, const Family* family, const Choices& choices);

/// The model that a config.json describes, and keys that transformers doesn't follow either.
struct ArchitectureModel {
  ModelConfig model;
  std::vector<std::string> read_over;
};

/// The model that the keys of a supported architecture describe.
/// @throws std::invalid_argument naming the key that isn't supported
ArchitectureModel from_architecture_keys(const Json& config, const Choices& choices);

/// Refuses what the architecture would compute and Fathom doesn't, and attention that reaches less
/// far than the model's longest context.
/// @throws std::invalid_argument
void check_followed_keys(const Json& config, const Family& family, const ModelConfig& model);

/// The keys of a config.json that decide what a model with weights of these shapes computes, in one
/// spelling; what isn't there is left out.
/// @throws std::invalid_argument naming a key that isn't supported
Json deciding_keys(const Json& config, const Choices& choices);

}  // namespace fathom
