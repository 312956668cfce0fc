#include <algorithm>
#include <cmath>

#include "kernels/number_types.h"
#include "loops.h"
#include "vector_clones.h"

namespace fathom {
namespace {

template <typename T, typename Weight>
FATHOM_INLINE void forward_row(const RmsNormForward& task, int64_t row) {
  const int64_t dim = task.shape.dim;
  const T* x = row_of<T>(task.x, row, dim);
  if (task.update != nullptr) {
    const T* __restrict update = row_of<T>(task.update, row, dim);
    T* __restrict sum = row_of<T>(task.sum, row, dim);
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) sum[i] = narrowed<T>(widened(x[i]) + widened(update[i]));
    x = sum;
  }
  float squares = 0.0F;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < dim; ++i) squares += widened(x[i]) * widened(x[i]);
  const float inverse_rms = 1.0F / std::sqrt(squares / static_cast<float>(dim) + task.shape.eps);
  task.inverse_rms[row] = inverse_rms;
  const float factor = inverse_rms * task.shape.scale;
  const Weight* __restrict weight = static_cast<const Weight*>(task.weight);
  T* __restrict y = row_of<T>(task.y, row, dim);
#pragma omp simd
  for (int64_t i = 0; i < dim; ++i) y[i] = narrowed<T>(widened(x[i]) * factor * widened(weight[i]));
}

// With u = dy * weight * scale and n = x * inverse_rms: dx = inverse_rms * (u - n * mean(u * n)) +
// direct, dw = sum dy * n * scale.
template <typename T, typename Weight>
FATHOM_INLINE void backward_row(const RmsNormBackward& task, int64_t row, float* __restrict dw) {
  const int64_t dim = task.shape.dim;
  const T* __restrict x = row_of<T>(task.sum, row, dim);
  const T* __restrict dy = row_of<T>(task.dy, row, dim);
  const Weight* __restrict weight = static_cast<const Weight*>(task.weight);
  T* __restrict dx = row_of<T>(task.dx, row, dim);
  const float inverse_rms = task.inverse_rms[row];
  float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < dim; ++i) sum += widened(dy[i]) * widened(weight[i]) * widened(x[i]);
  const float factor = inverse_rms * task.shape.scale;
  const float along = sum * inverse_rms * inverse_rms / static_cast<float>(dim);
  const auto of_norm = [&](int64_t i) __attribute__((always_inline)) {
    return factor * (widened(dy[i]) * widened(weight[i]) - widened(x[i]) * along);
  };
#pragma omp simd
  for (int64_t i = 0; i < dim; ++i) dw[i] += widened(dy[i]) * widened(x[i]) * factor;
  if (task.direct == nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) dx[i] = narrowed<T>(of_norm(i));
    return;
  }
  const T* __restrict direct = row_of<T>(task.direct, row, dim);
#pragma omp simd
  for (int64_t i = 0; i < dim; ++i) dx[i] = narrowed<T>(of_norm(i) + widened(direct[i]));
}

/// Calls body(T(), Weight()) with the types of activations and weight.
template <typename Body>
FATHOM_INLINE void with_types(const RmsNormShape& shape, const Body& body) {
  with_type(
      shape.type, [&](auto number) __attribute__((always_inline)) {
        if (shape.weight_type == NumberType::float32) {
          body(number, float{});
        } else {
          body(number, number);
        }
      });
}

}  // namespace

FATHOM_VECTOR_CLONES
void rms_norm_forward_rows(const RmsNormForward& task, int64_t begin, int64_t end) {
  with_types(
      task.shape, [&](auto number, auto weight) __attribute__((always_inline)) {
        for (int64_t row = begin; row < end; ++row)
          forward_row<decltype(number), decltype(weight)>(task, row);
      });
}

FATHOM_VECTOR_CLONES
void rms_norm_backward_part(const RmsNormBackward& task, int64_t part) {
  const int64_t rows = task.shape.rows, dim = task.shape.dim;
  float* dw = task.dw_parts + part * dim;
  std::fill(dw, dw + dim, 0.0F);
  with_types(
      task.shape, [&](auto number, auto weight) __attribute__((always_inline)) {
        const int64_t end = rows * (part + 1) / task.parts;
        for (int64_t row = rows * part / task.parts; row < end; ++row)
          backward_row<decltype(number), decltype(weight)>(task, row, dw);
      });
}

}  // namespace fathom
