// Samples of text.
#pragma once

#include "fathom/run/observers.h"

namespace fathom::observer {

Observers sample(const RunContext& run);

}  // namespace fathom::observer
