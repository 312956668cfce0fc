#include <algorithm>
#include <cmath>

#include "kernels/number_types.h"
#include "loops.h"
#include "vector_clones.h"

namespace fathom {
namespace {

/// exp(x - reference) needs no exact maximum as the reference. While no logit is further above it,
/// sums of 2^32 terms stay far from overflow, and what underflows is too small to count.
constexpr float kHeadroom = 40.0F;

template <typename T>
FATHOM_INLINE float largest_of(const T* x, int64_t n) {
  Floats largest = broadcast(widened(x[0]));
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) largest = larger(load(x + i), largest);
  float most = widened(x[0]);
  for (int64_t lane = 0; lane < kLanes; ++lane) most = std::max(most, largest[lane]);
  for (; i < n; ++i) most = std::max(most, widened(x[i]));
  return most;
}

/// x = exp(x - reference); returns the sum.
template <typename T>
FATHOM_INLINE float exponentiate(T* x, int64_t n, float reference) {
  Floats sums[2] = {};  // two, so that an addition needn't wait for the one before
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Floats a = bounded_exp(load(x + i) - reference);
    const Floats b = bounded_exp(load(x + i + kLanes) - reference);
    store(x + i, a);
    store(x + i + kLanes, b);
    sums[0] += a;
    sums[1] += b;
  }
  float sum = sum_of(sums[0] + sums[1]);
  for (; i < n; ++i) {
    const float exponential = bounded_exp(broadcast(widened(x[i]) - reference))[0];
    x[i] = narrowed<T>(exponential);
    sum += exponential;
  }
  return sum;
}

template <typename T>
FATHOM_INLINE void multiply(T* x, int64_t n, float factor) {
  for (int64_t i = 0; i < n; ++i) x[i] = narrowed<T>(widened(x[i]) * factor);
}

/// The logits of a row in a tile.
template <typename T>
FATHOM_INLINE T* tile_row(const SoftmaxBlock& block, int64_t row, int64_t tile) {
  return static_cast<T*>(block.logits) + tile * block.from_tile_to_tile + row * kTileStride;
}

template <typename T>
FATHOM_INLINE void tile_of_row(const SoftmaxBlock& block, int64_t row, int64_t tile) {
  T* x = tile_row<T>(block, row, tile);
  const int64_t size = std::min(kTileColumns, block.vocabulary - tile * kTileColumns);
  const int64_t target = block.target[row];
  if (target / kTileColumns == tile) block.of_target[row] = widened(x[target % kTileColumns]);
  float& reference = block.reference[row];
  const float largest = largest_of(x, size);
  if (tile == 0) {
    reference = largest;
    block.sum[row] = 0.0F;
  } else if (largest > reference + kHeadroom) {
    const float smaller = std::exp(reference - largest);
    for (int64_t before = 0; before < tile; ++before)
      multiply(tile_row<T>(block, row, before), kTileColumns, smaller);
    if (block.grad_hidden != nullptr)
      multiply(block.grad_hidden + row * block.dim, block.dim, smaller);
    block.sum[row] *= smaller;
    reference = largest;
  }
  block.sum[row] += exponentiate(x, size, reference);
  // The target's part is added at the end, as the difference that it is then: rounded before, what
  // is left of 1 - p in a confident row would be noise.
  if (target / kTileColumns == tile) x[target % kTileColumns] = T{};
}

template <typename T>
FATHOM_INLINE void finish_row(const SoftmaxBlock& block, const SoftmaxResult& r, int64_t row) {
  const int64_t dim = block.dim, target = block.target[row];
  const float reference = block.reference[row], of_target = block.of_target[row];
  const float log_of_sum = std::log(block.sum[row]);
  // A NaN anywhere has to reach the loss; the comparisons above drop it, the sum does not.
  const float log_sum = reference + log_of_sum;
  const float slope = 1.0F + 2.0F * r.z_loss * log_sum;  // of the loss over log_sum
  r.loss[row] = (reference - of_target + log_of_sum + r.z_loss * log_sum * log_sum) * r.scale;
  if (block.grad_hidden == nullptr) return;
  const float factor = r.scale * slope / block.sum[row];  // of the exponentials
  const float whole = block.sum[row] / slope;             // what the factor makes `scale`
  const float of_one = bounded_exp(broadcast(of_target - reference))[0] - whole;
  tile_row<T>(block, row, target / kTileColumns)[target % kTileColumns] = narrowed<T>(of_one);
  const float* __restrict sums = block.grad_hidden + row * dim;
  const T* __restrict hidden = row_of<T>(r.hidden, row, dim);
  const T* __restrict weight = row_of<T>(r.weight, target, dim);
  T* __restrict grad = row_of<T>(r.grad_hidden, row, dim);
  T* __restrict scaled = row_of<T>(r.scaled_hidden, row, dim);
#pragma omp simd
  for (int64_t i = 0; i < dim; ++i) {
    grad[i] = narrowed<T>((sums[i] + of_one * widened(weight[i])) * factor);
    scaled[i] = narrowed<T>(widened(hidden[i]) * factor);
  }
}

}  // namespace

FATHOM_VECTOR_CLONES
void softmax_tile(const SoftmaxBlock& block, int64_t tile) {
  with_type(
      block.type, [&](auto number) __attribute__((always_inline)) {
        for (int64_t row = 0; row < block.rows; ++row)
          tile_of_row<decltype(number)>(block, row, tile);
      });
}

FATHOM_VECTOR_CLONES
void softmax_finish(const SoftmaxBlock& block, const SoftmaxResult& result) {
  with_type(
      block.type, [&](auto number) __attribute__((always_inline)) {
        for (int64_t row = 0; row < block.rows; ++row)
          finish_row<decltype(number)>(block, result, row);
      });
}

}  // namespace fathom
