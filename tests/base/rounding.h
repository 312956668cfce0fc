/// How far rounding may take a computed number from the exact one: every tolerance of the kernels'
/// tests.
///
/// A type with unit roundoff u stores x as x (1 + d), |d| <= u. To first order the error of a
/// result is a sum of terms c d, one for each number that was stored on the way. With independent d
/// of mean 0, it exceeds kSafety u sqrt(sum of c^2) with a probability of at most 2 exp(-kSafety^2
/// / 2) (Higham and Mary, A new approach to probabilistic rounding error analysis, 2019): 3e-14
/// for 8. Rounding to the nearest is off by less than u / 2 in the mean, and this is the room to
/// spare.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace fathom {

constexpr double kSafety = 8;

/// The largest relative error of rounding to a type with so many bits of precision: 53 for float64,
/// 24 for float32, 8 for bf16.
constexpr double unit_roundoff(int precision) {
  double u = 1;
  for (int bit = 0; bit < precision; ++bit) u /= 2;
  return u;
}

/// Roundings of `terms` numbers that are added up, as a multiple of u and of the sum of their
/// magnitudes: never more than `terms` in any order (Higham, Accuracy and Stability, 4.2), and as
/// above with their square root.
inline double roundings_of_sum(int64_t terms) {
  const auto n = static_cast<double>(terms);
  return std::min(n, kSafety * std::sqrt(n));
}

}  // namespace fathom
