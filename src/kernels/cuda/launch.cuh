// Launches of kernels: shapes of grids, types and widths as template arguments, errors.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "../row_kernels.h"
#include "numbers.cuh"

namespace fathom::cuda {

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// A grid of so many blocks in x.
/// @throws std::runtime_error beyond CUDA's limit, 2^31 - 1
inline dim3 grid_of(int64_t blocks) {
  constexpr int64_t kMost = 0x7fffffff;
  if (blocks > kMost)
    throw std::runtime_error("a CUDA kernel was asked for " + std::to_string(blocks) +
                             " blocks; at most " + std::to_string(kMost) +
                             " are allowed: work on fewer rows at a time");
  return dim3(static_cast<unsigned>(blocks));
}

/// Not <<<>>>, so that the sources are C++ too. An empty grid is no work.
/// @throws std::runtime_error naming the kernel and CUDA's reason
template <typename... Parameters>
void launch(const char* name, dim3 grid, dim3 block, StreamHandle stream,
            void (*kernel)(Parameters...), const std::type_identity_t<Parameters>&... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = static_cast<cudaStream_t>(stream);
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments...);
  if (error == cudaSuccess) return;
  cudaGetLastError();  // or the next call of anybody would report it again
  throw std::runtime_error("the CUDA kernel " + std::string(name) +
                           " failed: " + cudaGetErrorString(error));
}

struct GridOfRows {
  dim3 grid, block;
};

/// For kernels whose threads walk a row's `items` with x; each y has a row.
inline GridOfRows grid_of_rows(int64_t rows, int64_t items) {
  constexpr unsigned kThreads = 256;
  unsigned x = 32;
  while (x < kThreads && x < items) x *= 2;
  const unsigned y = kThreads / x;
  return {grid_of(divide_up(rows, y)), dim3(x, y)};
}

/// A C++ type and how many numbers are moved at once, as an argument of a lambda.
template <typename T, int N>
struct Access {
  using Type = T;
  static constexpr int kWidth = N;
};

/// Calls body(Access<T, N>): full packs where all sizes (numbers of one row, or strides) are
/// multiples of a pack and all arrays are aligned to one, else number by number.
template <typename Body>
void with_access(NumberType type, std::initializer_list<int64_t> sizes,
                 std::initializer_list<const void*> arrays, const Body& body) {
  const auto with_type = [&]<typename T>(Access<T, 1> one) {
    const bool full =
        std::all_of(sizes.begin(), sizes.end(), [](int64_t n) { return n % kFullPack<T> == 0; }) &&
        std::all_of(arrays.begin(), arrays.end(),
                    [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; });
    if (full)
      body(Access<T, kFullPack<T>>());
    else
      body(one);
  };
  if (type == NumberType::bfloat16)
    with_type(Access<__nv_bfloat16, 1>());
  else
    with_type(Access<float, 1>());
}

}  // namespace fathom::cuda
