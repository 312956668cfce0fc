// The types of numbers that row loops read and write; arithmetic is in float32.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/vector_math.h"
#include "row_kernels.h"

namespace fathom {

/// The upper half of a float32.
struct Bf16 {
  uint16_t bits;
};

FATHOM_INLINE float widened(float x) { return x; }
FATHOM_INLINE float widened(Bf16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }

/// To the nearest T; from halfway to the even one. A NaN stays one.
template <typename T>
FATHOM_INLINE T narrowed(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    const auto bits = std::bit_cast<uint32_t>(x);
    const uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    return {static_cast<uint16_t>(x == x ? rounded : 0x7FC0)};
  }
}

/// The first `n` numbers at p; the other lanes are 0.
FATHOM_INLINE Floats load(const Bf16* p, int64_t n = kLanes) {
  Shorts v = {};
  std::memcpy(&v, p, static_cast<size_t>(n) * sizeof(Bf16));
  const Ints bits = __builtin_convertvector(v, Ints) << 16;
  Floats wide;
  std::memcpy(&wide, &bits, sizeof(wide));
  return wide;
}

FATHOM_INLINE void store(Bf16* p, const Floats& v, int64_t n = kLanes) {
  Ints bits;
  std::memcpy(&bits, &v, sizeof(bits));
  Ints rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  rounded = v == v ? rounded : Ints{} + 0x7FC0;
  const Shorts narrow = __builtin_convertvector(rounded, Shorts);
  std::memcpy(p, &narrow, static_cast<size_t>(n) * sizeof(Bf16));
}

/// Row `row` of an array [rows, dim].
template <typename T>
FATHOM_INLINE const T* row_of(const void* data, int64_t row, int64_t dim) {
  return static_cast<const T*>(data) + row * dim;
}

template <typename T>
FATHOM_INLINE T* row_of(void* data, int64_t row, int64_t dim) {
  return static_cast<T*>(data) + row * dim;
}

/// Calls body(T()) with the T that a type stands for.
template <typename Body>
FATHOM_INLINE void with_type(NumberType type, const Body& body) {
  if (type == NumberType::float32) {
    body(float{});
  } else {
    body(Bf16{});
  }
}

}  // namespace fathom
