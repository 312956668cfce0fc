#include "padding.h"

namespace fathom {

int64_t padded_width(int64_t width, const torch::TensorOptions& options) {
  constexpr int64_t kAligned = 8;    // 16-bit numbers in 16 bytes, which tensor cores read at once
  constexpr int64_t kMultiple = 64;  // what their tiles are multiples of
  const bool pads = options.device().is_cuda() && width % kAligned != 0 &&
                    torch::elementSize(options.dtype().toScalarType()) == 2;
  return pads ? (width + kMultiple - 1) / kMultiple * kMultiple : width;
}

}  // namespace fathom
