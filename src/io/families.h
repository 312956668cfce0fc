// The architectures of transformers that Fathom computes, as one table.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fathom/base/json.h"
#include "fathom/config/model_config.h"

namespace fathom {

/// Which projections of attention have a bias.
enum class BiasRule { never, by_key, all_but_output };

/// Which attention windows the config's keys ask for.
enum class WindowRule { none, by_key, where_switched_on };

struct Family {
  std::string_view model_type;
  std::string_view architecture;
  bool query_key_norm;  ///< RMSNorm over each head of query and key
  BiasRule bias;
  WindowRule window;
  /// What transformers takes for keys that config.json lacks, where it isn't ModelConfig's default.
  Json defaults;
};

const std::vector<Family>& families();

/// The row with this model_type, or null.
const Family* find_family(std::string_view model_type);

/// The family that computes a plain model: the preferred one if it does, or else the first.
/// @returns null if none does
const Family* family_of(const ModelConfig& model, std::string_view preferred);

}  // namespace fathom
