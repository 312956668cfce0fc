#include "softmax_rows.h"

#include <algorithm>
#include <cmath>

#include "vector_clones.h"
#include "vector_math.h"

namespace fathom {
namespace {

/// Logits that are looked at together: they stay in the first-level cache between two loops.
constexpr int64_t kTile = 2048;

/// exp(x - reference) needs no exact maximum as the reference. While no logit is further above it,
/// sums of 2^32 terms stay far from overflow, and what underflows is too small to count.
constexpr float kHeadroom = 40.0F;

FATHOM_INLINE float largest_of(const float* x, int64_t n) {
  Floats largest = broadcast(x[0]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) largest = larger(load(x + i), largest);
  float most = x[0];
  for (int64_t lane = 0; lane < kLanes; ++lane) most = std::max(most, largest[lane]);
  for (; i < n; ++i) most = std::max(most, x[i]);
  return most;
}

/// x = exp(x - reference); returns the sum.
FATHOM_INLINE float exponentiate(float* x, int64_t n, float reference) {
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
    x[i] = bounded_exp(broadcast(x[i] - reference))[0];
    sum += x[i];
  }
  return sum;
}

FATHOM_INLINE void multiply(float* x, int64_t n, float factor) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

}  // namespace

FATHOM_VECTOR_CLONES
void softmax_cross_entropy_rows(const SoftmaxRows& r, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    float* x = r.logits + row * r.vocabulary;
    const int64_t target = r.target[row];
    if (target < 0) {
      std::fill(x, x + r.vocabulary, 0.0F);
      r.loss[row] = r.factor[row] = 0.0F;
      continue;
    }
    const float of_target = x[target];
    float reference = largest_of(x, std::min(kTile, r.vocabulary));
    float sum = 0.0F;
    for (int64_t at = 0; at < r.vocabulary; at += kTile) {
      const int64_t n = std::min(kTile, r.vocabulary - at);
      const float largest = at == 0 ? reference : largest_of(x + at, n);
      if (largest > reference + kHeadroom) {
        const float smaller = std::exp(reference - largest);
        multiply(x, at, smaller);
        sum *= smaller;
        reference = largest;
      }
      sum += exponentiate(x + at, n, reference);
    }
    // A NaN anywhere has to reach the loss; the comparisons above drop it, the sum does not.
    const float log_sum = reference + std::log(sum);
    const float slope = 1.0F + 2.0F * r.z_loss * log_sum;  // of the loss over log_sum
    x[target] -= sum / slope;
    r.factor[row] = r.scale * slope / sum;
    r.loss[row] = (reference - of_target + std::log(sum) + r.z_loss * log_sum * log_sum) * r.scale;
  }
}

}  // namespace fathom
