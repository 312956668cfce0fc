// How long the sequences of a model may be.
#pragma once

#include "fathom/config/model_config.h"

namespace fathom {

/// In tokens: max_position_embeddings, and with RoPE scaling at least `factor` times the context
/// before it.
int64_t longest_context(const ModelConfig& model);

}  // namespace fathom
