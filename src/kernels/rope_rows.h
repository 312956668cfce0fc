// Loops of the rotary embedding on CPU.
#pragma once

#include <cstdint>

namespace fathom {

/// Where the channels of each head lie, which are next to each other.
struct HeadStrides {
  int64_t row, time, head;
};

struct RopeRows {
  int64_t length, heads, half;  // tokens of a row of the batch, heads, half the channels of a head
  const float* cos;             // [length, half]
  const float* sin;
  float direction;  // 1 forward, -1 back
};

/// Tokens [begin, end) of the batch, counted through its rows: out = the rotated x. Both may be the
/// same.
void rotate_rows(const RopeRows& r, const float* x, const HeadStrides& x_strides, float* out,
                 const HeadStrides& out_strides, int64_t begin, int64_t end);

}  // namespace fathom
