// Output variance: how much the residual stream has grown after each block.
#pragma once

#include <memory>

#include "fathom/diagnose/probe.h"

namespace fathom::probe {

/// Var of each block's output over the hidden dimension (divided by D), in float32, mean over the
/// positions that have a target. Result: [L], activation squared.
/// @see arXiv:2502.05795, figures 4 and 9
std::unique_ptr<Probe> variance();

}  // namespace fathom::probe
