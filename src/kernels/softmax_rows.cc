#include "softmax_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "vector_clones.h"

namespace fathom {
namespace {

/// exp(x) for x <= 0 within 2 ulp, without a call, so that loops over it are vectorized. x = n ln 2
/// + r, |r| <= ln 2 / 2; exp(r) by its Taylor polynomial of degree 7.
inline __attribute__((always_inline)) float exp_of_negative(float x) {
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  x = std::max(x, -87.0F);               // below, the result would be denormal: as good as 0 here
  const float n = (x * 1.44269504F + kRound) - kRound;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;  // ln 2 in two parts
  float p = 1.0F / 5040;
  p = p * r + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

}  // namespace

FATHOM_VECTOR_CLONES
void softmax_cross_entropy_rows(float* logits, const int64_t* target, float* loss,
                                int64_t vocabulary, float scale, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    float* __restrict x = logits + row * vocabulary;
    if (target[row] < 0) {
      std::fill(x, x + vocabulary, 0.0F);
      loss[row] = 0.0F;
      continue;
    }
    const float of_target = x[target[row]];
    float largest = x[0];
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < vocabulary; ++i) largest = x[i] > largest ? x[i] : largest;
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < vocabulary; ++i) {
      x[i] = exp_of_negative(x[i] - largest);
      sum += x[i];
    }
    const float factor = scale / sum;
#pragma omp simd
    for (int64_t i = 0; i < vocabulary; ++i) x[i] *= factor;
    x[target[row]] -= scale;
    // A NaN anywhere has to reach the loss; the comparisons above drop it, the sum does not.
    loss[row] = (largest - of_target + std::log(sum)) * scale;
  }
}

}  // namespace fathom
