// Gradient-preserving activation scaling: a learned gate scales the stream down in the forward pass
// and leaves its gradient alone.
#pragma once

#include "fathom/model/placement.h"

namespace fathom::scaling {

/// The gate follows the sum; where a norm does, it is on the skip instead, as in the authors' code.
inline void gpas(SitePlan& plan, const Site&, const NormConfig&) {
  (plan.sum_norm.present() ? plan.skip_gate : plan.sum_gate) = true;
}

}  // namespace fathom::scaling
