// A shuffled order without a list: the place of each row is computed.
#pragma once

#include <cstdint>

namespace fathom {

/// Element `index` of a permutation of 0 to n-1 that seed and epoch choose: a Feistel network over
/// a power of four of at least n (and 256), repeated while the result is n or more (cycle walking).
/// Takes well under a microsecond; no memory.
/// @param index less than n
/// @param n at least 1, at most 2^62
uint64_t permuted(uint64_t seed, uint64_t epoch, uint64_t index, uint64_t n);

}  // namespace fathom
