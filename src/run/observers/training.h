// Loss, learning rate and speed.
#pragma once

#include "fathom/run/observers.h"

namespace fathom::observer {

Observers training(const RunContext& run);

}  // namespace fathom::observer
