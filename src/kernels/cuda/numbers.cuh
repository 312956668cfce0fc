// Numbers of an array, read and written in packs of up to 16 bytes. Arithmetic is in float32.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

namespace fathom::cuda {

/// How many numbers 16 bytes hold, the most that one instruction moves.
template <typename T>
constexpr int kFullPack = 16 / sizeof(T);

/// N neighbours: one number, or some multiple of 16 bytes.
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T at[N];
};

// As whole words, stored by name: nvcc would move some structures number by number.
template <int N, typename T>
__device__ __forceinline__ Pack<T, N> load_pack(const T* p) {
  Pack<T, N> pack;
  if constexpr (sizeof(pack) % sizeof(uint4) == 0) {
    constexpr int kWords = sizeof(pack) / sizeof(uint4);
    uint4 words[kWords];
#pragma unroll
    for (int i = 0; i < kWords; ++i) words[i] = reinterpret_cast<const uint4*>(p)[i];
    memcpy(&pack, words, sizeof(pack));
  } else {
    static_assert(N == 1);
    pack.at[0] = *p;
  }
  return pack;
}

template <typename T, int N>
__device__ __forceinline__ void store_pack(T* p, const Pack<T, N>& pack) {
  if constexpr (sizeof(pack) % sizeof(uint4) == 0) {
    constexpr int kWords = sizeof(pack) / sizeof(uint4);
    uint4 words[kWords];
    memcpy(words, &pack, sizeof(pack));
#pragma unroll
    for (int i = 0; i < kWords; ++i) __stwb(reinterpret_cast<uint4*>(p) + i, words[i]);
  } else {
    static_assert(N == 1);
    *p = pack.at[0];
  }
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

/// To the nearest, ties to even.
template <typename T, int N>
__device__ __forceinline__ Pack<T, N> rounded(const float (&x)[N]) {
  Pack<T, N> pack;
  if constexpr (sizeof(T) == sizeof(float)) {
#pragma unroll
    for (int j = 0; j < N; ++j) pack.at[j] = x[j];
  } else if constexpr (N == 1) {
    pack.at[0] = __float2bfloat16_rn(x[0]);
  } else {
#pragma unroll
    for (int j = 0; j < N; j += 2) {  // one instruction for two
      const __nv_bfloat162 pair = __floats2bfloat162_rn(x[j], x[j + 1]);
      pack.at[j] = pair.x;
      pack.at[j + 1] = pair.y;
    }
  }
  return pack;
}

/// exp(x), and 0 where that is too small for a normal number: __expf, which gives even that number,
/// takes twice the instructions, and the loss has two exp for each logit.
__device__ __forceinline__ float fast_exp(float x) {
  const float exponent = x * 1.44269504F;
#ifdef __CUDACC__
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(exponent));
  return result;
#else
  return exp2f(exponent);
#endif
}

__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0F, 1.0F + fast_exp(-x)); }

}  // namespace fathom::cuda
