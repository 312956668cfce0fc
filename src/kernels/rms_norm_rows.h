// Row loops of RMSNorm on CPU, compiled for several instruction sets and chosen when the program
// starts.
#pragma once

#include <cstdint>

namespace fathom {

struct RmsNormRows {
  const float* weight;  // [dim]
  float* inverse_rms;   // [rows]; written by the forward pass, read by the backward pass
  int64_t dim;
  float eps;
  float scale;
};

/// Rows [begin, end): y = x * inverse_rms * weight * scale.
void rms_norm_forward(const RmsNormRows& r, const float* x, int64_t begin, int64_t end, float* y);

/// Rows [begin, end): sum = x + update, and y from the sum.
void add_rms_norm_forward(const RmsNormRows& r, const float* x, const float* update, int64_t begin,
                          int64_t end, float* sum, float* y);

/// Rows [begin, end): writes dx, the gradient that arrives through y plus `direct`, and adds to dw
/// [dim]. @param direct gradient of x that doesn't pass the norm, or null
void rms_norm_backward(const RmsNormRows& r, const float* x, const float* dy, const float* direct,
                       int64_t begin, int64_t end, float* dx, float* dw);

}  // namespace fathom
