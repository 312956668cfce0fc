// The one value that takes a position out of the loss.
#pragma once

#include <cstdint>

namespace fathom {

/// Target of a position that the loss ignores (PyTorch's and transformers' value).
inline constexpr int64_t kIgnoredTarget = -100;

}  // namespace fathom
