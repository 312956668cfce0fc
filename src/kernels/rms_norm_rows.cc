#include "rms_norm_rows.h"

#include <cmath>

#include "vector_clones.h"

namespace fathom {
namespace {

inline __attribute__((always_inline)) void norm_row(const RmsNormRows& r, const float* __restrict x,
                                                    int64_t row, float* __restrict y) {
  const float* __restrict weight = r.weight;
  float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < r.dim; ++i) sum += x[i] * x[i];
  const float inverse_rms = 1.0F / std::sqrt(sum / static_cast<float>(r.dim) + r.eps);
  r.inverse_rms[row] = inverse_rms;
  const float factor = inverse_rms * r.scale;
#pragma omp simd
  for (int64_t i = 0; i < r.dim; ++i) y[i] = x[i] * factor * weight[i];
}

}  // namespace

FATHOM_VECTOR_CLONES
void rms_norm_forward(const RmsNormRows& r, const float* x, int64_t begin, int64_t end, float* y) {
  for (int64_t row = begin; row < end; ++row) norm_row(r, x + row * r.dim, row, y + row * r.dim);
}

FATHOM_VECTOR_CLONES
void add_rms_norm_forward(const RmsNormRows& r, const float* x, const float* update, int64_t begin,
                          int64_t end, float* sum, float* y) {
  for (int64_t row = begin; row < end; ++row) {
    const float* __restrict a = x + row * r.dim;
    const float* __restrict b = update + row * r.dim;
    float* __restrict added = sum + row * r.dim;
#pragma omp simd
    for (int64_t i = 0; i < r.dim; ++i) added[i] = a[i] + b[i];
    norm_row(r, added, row, y + row * r.dim);
  }
}

// With u = dy * weight * scale and n = x * inverse_rms: dx = inverse_rms * (u - n * mean(u * n)) +
// direct, dw = sum dy * n * scale.
FATHOM_VECTOR_CLONES
void rms_norm_backward(const RmsNormRows& r, const float* x, const float* dy, const float* direct,
                       int64_t begin, int64_t end, float* dx, float* dw) {
  const int64_t dim = r.dim;
  const float* __restrict weight = r.weight;
  float* __restrict weight_grad = dw;
  for (int64_t row = begin; row < end; ++row) {
    const float* __restrict in = x + row * dim;
    const float* __restrict grad = dy + row * dim;
    float* __restrict out = dx + row * dim;
    const float inverse_rms = r.inverse_rms[row];
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < dim; ++i) sum += grad[i] * weight[i] * in[i];
    const float factor = inverse_rms * r.scale;
    const float along = sum * inverse_rms * inverse_rms / static_cast<float>(dim);
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) {
      out[i] = factor * (grad[i] * weight[i] - in[i] * along);
      weight_grad[i] += grad[i] * in[i] * factor;
    }
    if (direct == nullptr) continue;
    const float* __restrict beside = direct + row * dim;
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) out[i] += beside[i];
  }
}

}  // namespace fathom
