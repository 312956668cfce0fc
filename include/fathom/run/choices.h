// The tables that config keys choose from: what the config reader and config.json need to know of
// models, optimizers, schedules and probes.
#pragma once

#include "fathom/config/fields.h"

namespace fathom {

/// Placements, initializations, RoPE types, optimizers, schedules and probes, by config key.
Choices config_choices();

}  // namespace fathom
