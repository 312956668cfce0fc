// What Fathom's kernels use of CUDA, for a host compiler: the same .cu files become C++, and the
// threads of a block fibers of one thread, which change at barriers and shuffles. For tests only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __shared__ static  // one block runs at a time
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_in = 1, unsigned y_in = 1, unsigned z_in = 1)
      : x(x_in), y(y_in), z(z_in) {}
};

/// Of any array, as the loads and stores of a GPU.
struct __attribute__((may_alias, aligned(16))) uint4 {
  unsigned x, y, z, w;
};

enum cudaError_t { cudaSuccess, cudaErrorInvalidConfiguration, cudaErrorLaunchFailure };
using cudaStream_t = struct CUstream_st*;

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {

/// Runs a kernel's blocks one after another. A barrier or shuffle that not all threads reach, which
/// a GPU may hang on, is cudaErrorLaunchFailure.
cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& kernel);

/// All threads of the block wait for each other.
void wait_for_block();

/// The 32 threads of a warp give each other numbers: that of the thread at lane ^ `lanes`.
uint32_t exchange(uint32_t bits, unsigned lanes);

}  // namespace emulator

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return emulator::run(*config, [&] { kernel(arguments...); });
}

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error);

inline void __syncthreads() { emulator::wait_for_block(); }

template <typename T>
T __shfl_xor_sync(unsigned /*mask*/, T value, int lanes) {
  static_assert(sizeof(T) == sizeof(uint32_t));
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits = emulator::exchange(bits, static_cast<unsigned>(lanes));
  std::memcpy(&value, &bits, sizeof(bits));
  return value;
}

inline void __stwb(uint4* p, uint4 value) { *p = value; }

inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline uint32_t __float_as_uint(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
using std::min;
