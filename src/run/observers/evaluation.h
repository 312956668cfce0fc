// The loss on data.validation.
#pragma once

#include "fathom/run/observers.h"

namespace fathom::observer {

Observers evaluation(const RunContext& run);

}  // namespace fathom::observer
