// Checkpoints.
#pragma once

#include "fathom/run/observers.h"

namespace fathom::observer {

Observers checkpoint(const RunContext& run);

}  // namespace fathom::observer
