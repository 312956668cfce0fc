// Shape checks that name the argument.
#pragma once

#include <torch/types.h>

#include "fathom/base/error.h"

namespace fathom {

/// @throws ShapeError "function: argument has shape [..], expected [..]"; -1 in `expected` allows
/// any size
inline void check_shape(const char* function, const char* argument, const torch::Tensor& tensor,
                        at::IntArrayRef expected) {
  bool fits = tensor.dim() == static_cast<int64_t>(expected.size());
  for (size_t i = 0; fits && i < expected.size(); ++i)
    fits = expected[i] < 0 || tensor.size(static_cast<int64_t>(i)) == expected[i];
  if (!fits)
    throw ShapeError(
        cat(function, ": ", argument, " has shape ", tensor.sizes(), ", expected ", expected));
}

}  // namespace fathom
