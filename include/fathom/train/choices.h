// The tables that config keys choose from: what the config reader and config.json need to know of
// models, optimizers and schedules.
#pragma once

#include "fathom/config/fields.h"

namespace fathom {

/// Placements, initializations, RoPE types, optimizers and schedules, by config key.
Choices config_choices();

}  // namespace fathom
