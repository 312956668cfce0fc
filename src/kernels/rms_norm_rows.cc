#include "rms_norm_rows.h"

#include <cmath>

#include "vector_clones.h"

namespace fathom {

FATHOM_VECTOR_CLONES
void rms_norm_forward(const RmsNormRows& r, int64_t begin, int64_t end, float* y) {
  const int64_t dim = r.dim;
  const float* __restrict weight = r.weight;
  for (int64_t row = begin; row < end; ++row) {
    const float* __restrict x = r.x + row * dim;
    float* __restrict out = y + row * dim;
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < dim; ++i) sum += x[i] * x[i];
    const float inverse_rms = 1.0F / std::sqrt(sum / static_cast<float>(dim) + r.eps);
    r.inverse_rms[row] = inverse_rms;
    const float factor = inverse_rms * r.scale;
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) out[i] = x[i] * factor * weight[i];
  }
}

// With u = dy * weight * scale and n = x * inverse_rms: dx = inverse_rms * (u - n * mean(u * n)),
// dw = sum dy * n * scale.
FATHOM_VECTOR_CLONES
void rms_norm_backward(const RmsNormRows& r, int64_t begin, int64_t end, const float* dy, float* dx,
                       float* dw) {
  const int64_t dim = r.dim;
  const float* __restrict weight = r.weight;
  float* __restrict weight_grad = dw;
  for (int64_t row = begin; row < end; ++row) {
    const float* __restrict x = r.x + row * dim;
    const float* __restrict grad = dy + row * dim;
    float* __restrict out = dx + row * dim;
    const float inverse_rms = r.inverse_rms[row];
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < dim; ++i) sum += grad[i] * weight[i] * x[i];
    const float factor = inverse_rms * r.scale;
    const float along = sum * inverse_rms * inverse_rms / static_cast<float>(dim);
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) {
      out[i] = factor * (grad[i] * weight[i] - x[i] * along);
      weight_grad[i] += grad[i] * x[i] * factor;
    }
  }
}

}  // namespace fathom
