// The rows that model keys choose from, as far as io's tests need them.
#pragma once

#include "fathom/config/fields.h"

namespace fathom {

inline Choices model_choices() {
  return {{"model.norm.placement",
           {{"pre", {}}, {"mix", {"post_layers"}}, {"lns", {"exponent", "position", "sublayers"}}}},
          {"model.norm.scaling", {{"none", {}}, {"lns", {"exponent", "position", "sublayers"}}}},
          {"model.init.method", {{"normal", {}}, {"scaled", {}}}},
          {"model.rope_scaling.rope_type",
           {{"default", {}},
            {"linear", {"factor"}},
            {"llama3",
             {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
            {"dynamic", {"factor", "original_max_position_embeddings"}},
            {"yarn",
             {"factor", "original_max_position_embeddings", "beta_fast", "beta_slow",
              "attention_factor", "mscale", "mscale_all_dim", "truncate"}}}}};
}

}  // namespace fathom
