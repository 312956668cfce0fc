// Rotary position tables of a model, with the context extensions of model.rope_scaling.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/config/model_config.h"

namespace fathom {

/// A row of the table of RoPE scalings.
struct RopeType {
  std::string_view name;
  /// The frequency of each channel pair (radians per token) in a sequence of `length` tokens.
  std::vector<double> (*frequencies)(const ModelConfig&, int64_t length);
  std::string_view formula;
  std::vector<std::string> options;  ///< keys of model.rope_scaling that it reads
  double (*attention_factor)(const RopeScalingConfig&) = nullptr;  ///< of cos and sin; null: 1
  bool depends_on_length = false;                                  ///< beyond the original context
};

/// All types that `model.rope_scaling.rope_type` can name.
std::span<const RopeType> rope_types();

/// cos and sin of position * frequency, [T, head_dim / 2] each.
struct RopeTable {
  torch::Tensor cos_TF;
  torch::Tensor sin_TF;
};

/// Positions 0 .. length-1 of a sequence of `length` tokens. Angles are computed in float64 and
/// stored in `options`' dtype (float32 or float64).
/// @throws ConfigError for an unknown type
RopeTable make_rope_table(const ModelConfig& config, int64_t length,
                          const torch::TensorOptions& options);

/// Whether a table of `size` positions is also right for a sequence of `length` tokens.
bool table_serves(const ModelConfig& config, int64_t size, int64_t length);

}  // namespace fathom
