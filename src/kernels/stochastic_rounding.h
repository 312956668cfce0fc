// Stochastic rounding to bf16: up or down with the odds of the distance, so that the mean of many
// roundings is the number itself, and a change far below a bf16's last bit isn't lost. The random
// bits are a hash of (key, step, index): no state to save, the same on every device and however
// the work is divided. Integer code without branches, which compilers vectorize.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define FATHOM_HOST_DEVICE __host__ __device__
#else
#define FATHOM_HOST_DEVICE
#endif

namespace fathom {

/// What the random bits of one tensor in one step start from.
struct RoundingSeed {
  uint32_t before, between;
};

/// The finalizer of SplitMix64. https://doi.org/10.1145/2660193.2660195
FATHOM_HOST_DEVICE constexpr uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

/// @param key of the tensor: AdamTensor::key  @param step its number, from 1
FATHOM_HOST_DEVICE constexpr RoundingSeed rounding_seed(uint64_t key, uint64_t step) {
  const uint64_t bits = mix_bits(mix_bits(key) + step * 0x9e3779b97f4a7c15U);
  return {static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)};
}

/// 16 random bits for each of the three results of element `index`; any two are independent.
struct RoundingBits {
  uint32_t parameter, first_moment, second_moment;
};

/// @param index of the element modulo 2^32: bits that elements so far apart share don't matter
/// @see the constants: https://github.com/skeeto/hash-prospector
FATHOM_HOST_DEVICE constexpr RoundingBits rounding_bits(const RoundingSeed& seed, uint32_t index) {
  uint32_t x = index ^ seed.before;
  x = (x ^ (x >> 16)) * 0x7feb352dU;
  x = (x ^ (x >> 15)) + seed.between;
  x = (x ^ (x >> 16)) * 0x846ca68bU;
  x ^= x >> 16;
  return {x >> 16, x & 0xffffU, (x * 0x9e3779b1U) >> 16};
}

/// A float's bits to a bf16's, with 16 random bits. Numbers that a bf16 holds, infinities and NaN
/// stay what they are.
FATHOM_HOST_DEVICE constexpr uint16_t round_stochastically(uint32_t float_bits, uint32_t random) {
  const bool is_nan = (float_bits & 0x7fffffffU) > 0x7f800000U;
  return static_cast<uint16_t>((is_nan ? float_bits | 0x00400000U : float_bits + random) >> 16);
}

}  // namespace fathom
