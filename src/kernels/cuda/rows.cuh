// A row's numbers among the threads that work on it: a part of a block, or all of it. Places in a
// row are 32-bit: it has fewer than 2^31 numbers, and 64-bit ones would take twice the registers.
#pragma once

#include <type_traits>

#include "numbers.cuh"

namespace fathom::cuda {

constexpr int kWarp = 32;
constexpr int kMostThreads = 512;  // of a row

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    x += __shfl_xor_sync(0xffffffff, x, distance);
  return x;
}

/// NaN is dropped, unless all are.
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    x = fmaxf(x, __shfl_xor_sync(0xffffffff, x, distance));
  return x;
}

/// Threads of a block whose rows have kThreads each (x), and how many rows it has side by side (y).
template <int kThreads>
constexpr int kBlockThreads = kThreads < 256 ? 256 : kThreads;
template <int kThreads>
constexpr int kBlockRows = kBlockThreads<kThreads> / kThreads;

/// The sum over the kThreads of a row, the same bits in each. The whole block has to call it.
template <int kThreads>
class RowSum {
 public:
  __device__ __forceinline__ float operator()(float x) {
    x = warp_sum(x);
    if constexpr (kThreads > kWarp) {
      // In turns: when a place is written again, all have passed the barrier in between.
      __shared__ float parts[2][kBlockRows<kThreads>][kThreads / kWarp];
      turn_ ^= 1;
      float* part = parts[turn_][threadIdx.y];
      if (threadIdx.x % kWarp == 0) part[threadIdx.x / kWarp] = x;
      __syncthreads();
      x = 0.0F;
#pragma unroll
      for (int warp = 0; warp < kThreads / kWarp; ++warp) x += part[warp];
    }
    return x;
  }

 private:
  int turn_ = 0;
};

/// How many packs of a row a thread keeps in registers.
template <int N>
constexpr int kHeld = N == 1 ? 8 : 2;

template <typename T, int N>
using HeldPacks = Pack<T, N>[kHeld<N>];

/// Calls body(k, i) for the packs i of a row that this thread holds, its k-th.
template <int kThreads, int N, typename Body>
__device__ __forceinline__ void for_held(int packs, const Body& body) {
#pragma unroll
  for (int k = 0; k < kHeld<N>; ++k) {
    const int i = static_cast<int>(threadIdx.x) + k * kThreads;
    if (i < packs) body(k, i);
  }
}

/// Calls body(i) for the packs i of this thread that are beyond what it holds.
template <int kThreads, int N, typename Body>
__device__ __forceinline__ void for_rest(int packs, const Body& body) {
  if constexpr (kThreads == kMostThreads)
    for (int i = static_cast<int>(threadIdx.x) + kHeld<N> * kThreads; i < packs; i += kThreads)
      body(i);
}

/// All loads of a row in flight together, before a store that might alias keeps the next waiting.
template <int kThreads, int N, typename T>
__device__ __forceinline__ void load_held(const T* row, int packs, HeldPacks<T, N>& held) {
  for_held<kThreads, N>(packs, [&](int k, int i) { held[k] = load_pack<N>(row + i * N); });
}

/// Calls body(std::integral_constant) with how many threads share a row of so many packs: as few as
/// hold it, if not the most.
template <int N, int kThreads = kWarp, typename Body>
void with_threads(int64_t packs, const Body& body) {
  if constexpr (kThreads == kMostThreads) {
    body(std::integral_constant<int, kThreads>());
  } else {
    if (packs <= kThreads * kHeld<N>)
      body(std::integral_constant<int, kThreads>());
    else
      with_threads<N, 2 * kThreads>(packs, body);
  }
}

}  // namespace fathom::cuda
