#include "fathom/config/context.h"

#include <algorithm>

namespace fathom {

int64_t longest_context(const ModelConfig& model) {
  const RopeScalingConfig& scaling = model.rope_scaling;
  if (scaling.rope_type == "default") return model.max_position_embeddings;
  constexpr double kMost = 1LL << 62;
  const double scaled = static_cast<double>(model.original_context()) * scaling.factor;
  return std::max(model.max_position_embeddings, static_cast<int64_t>(std::min(scaled, kMost)));
}

}  // namespace fathom
