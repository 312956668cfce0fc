// Probes of the layers.
#pragma once

#include "fathom/run/observers.h"

namespace fathom::observer {

Observers probes(const RunContext& run);

}  // namespace fathom::observer
