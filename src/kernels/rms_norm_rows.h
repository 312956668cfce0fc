// Row loops of RMSNorm on CPU, compiled for several instruction sets and chosen when the program
// starts.
#pragma once

#include <cstdint>

namespace fathom {

struct RmsNormRows {
  const float* x;       // [rows, dim]
  const float* weight;  // [dim]
  float* inverse_rms;   // [rows]; written by the forward pass, read by the backward pass
  int64_t dim;
  float eps;
  float scale;
};

/// Rows [begin, end): y = x * inverse_rms * weight * scale.
void rms_norm_forward(const RmsNormRows& r, int64_t begin, int64_t end, float* y);

/// Rows [begin, end): writes dx and adds to dw [dim].
void rms_norm_backward(const RmsNormRows& r, int64_t begin, int64_t end, const float* dy, float* dx,
                       float* dw);

}  // namespace fathom
