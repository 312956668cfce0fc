#include "fathom/data/internal/sampler.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace fathom {
namespace {

constexpr int kRounds = 6;  // four make a pseudorandom permutation of a good round function
constexpr int kMinHalfBits = 4;

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t permuted(uint64_t seed, uint64_t epoch, uint64_t index, uint64_t n) {
  if (n == 0 || n > uint64_t{1} << 62 || index >= n)
    throw std::invalid_argument("permuted: index has to be less than n, n at most 2^62");
  const uint64_t key = mix(mix(seed) ^ epoch);
  const int half_bits = std::max(kMinHalfBits, (static_cast<int>(std::bit_width(n - 1)) + 1) / 2);
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  uint64_t value = index;
  do {
    uint64_t left = value >> half_bits;
    uint64_t right = value & mask;
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t next = left ^ (mix(key + static_cast<uint64_t>(round) + (right << 8)) & mask);
      left = right;
      right = next;
    }
    value = (left << half_bits) | right;
  } while (value >= n);
  return value;
}

}  // namespace fathom
