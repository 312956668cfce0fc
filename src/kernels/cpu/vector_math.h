// Arithmetic on eight floats at a time, in GCC's and Clang's own vector types: loops with exp in
// them are vectorized whatever the compiler makes of comparisons, conversions and calls.
#pragma once

#include <cstdint>
#include <cstring>

namespace fathom {

constexpr int64_t kLanes = 8;
using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));
using Ints = int32_t __attribute__((vector_size(kLanes * sizeof(int32_t))));
using Shorts = uint16_t __attribute__((vector_size(kLanes * sizeof(uint16_t))));

#define FATHOM_INLINE inline __attribute__((always_inline))

/// The first `n` numbers at p; the other lanes are 0.
FATHOM_INLINE Floats load(const float* p, int64_t n = kLanes) {
  Floats v = {};
  std::memcpy(&v, p, static_cast<size_t>(n) * sizeof(float));
  return v;
}

FATHOM_INLINE void store(float* p, const Floats& v, int64_t n = kLanes) {
  std::memcpy(p, &v, static_cast<size_t>(n) * sizeof(float));
}

FATHOM_INLINE Floats broadcast(float x) { return Floats{} + x; }

FATHOM_INLINE Floats larger(const Floats& a, const Floats& b) { return a > b ? a : b; }

FATHOM_INLINE float sum_of(const Floats& v) {
  return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

/// Calls body(i, n) for the vectors [i, i + n) of [0, size).
template <typename Body>
FATHOM_INLINE void for_each_vector(int64_t size, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) body(i, kLanes);
  if (i < size) body(i, size - i);
}

/// exp(x) within 2 ulp for |x| <= 87; beyond, that of the nearest bound (1.6e-38 or 6.1e37). A NaN
/// stays one. x = n ln 2 + r, |r| <= ln 2 / 2; exp(r) by its Taylor polynomial of degree 7.
FATHOM_INLINE Floats bounded_exp(Floats x) {
  const Floats bound = broadcast(87.0F);
  const Floats rounder = broadcast(12582912.0F);  // 1.5 * 2^23: adding it rounds to a whole number
  x = x < -bound ? -bound : x;
  x = x > bound ? bound : x;
  const Floats n = (x * 1.44269504F + rounder) - rounder;
  const Floats r = (x - n * 0.693359375F) + n * 2.12194440e-4F;  // ln 2 in two parts
  Floats p = broadcast(1.0F / 5040);
  p = p * r + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
  Floats factor;
  std::memcpy(&factor, &power, sizeof(factor));
  return p * factor;
}

FATHOM_INLINE Floats sigmoid(const Floats& x) { return 1.0F / (1.0F + bounded_exp(-x)); }

}  // namespace fathom
