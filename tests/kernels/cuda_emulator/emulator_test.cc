#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "kernels/cuda/launch.cuh"

namespace fathom::cuda {
namespace {

void count_threads(int* counts) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  ++counts[block * blockDim.x * blockDim.y * blockDim.z + thread];
}

TEST(CudaEmulator, RunsEachThreadOfEachBlockOnce) {
  std::vector<int> counts(size_t{3} * 2 * 2 * 5 * 3 * 2);
  launch("count", dim3(3, 2, 2), dim3(5, 3, 2), nullptr, count_threads, counts.data());
  EXPECT_EQ(counts, std::vector<int>(counts.size(), 1));
}

void reverse_through_shared(int* data) {
  __shared__ int shared[96];
  shared[threadIdx.x] = data[threadIdx.x];
  __syncthreads();
  data[threadIdx.x] = shared[95 - threadIdx.x];
}

TEST(CudaEmulator, ABarrierShowsEachThreadWhatTheOthersWrote) {
  std::vector<int> data(96), expected(96);
  std::iota(data.begin(), data.end(), 0);
  std::iota(expected.rbegin(), expected.rend(), 0);
  launch("reverse", dim3(1), dim3(96), nullptr, reverse_through_shared, data.data());
  EXPECT_EQ(data, expected);
}

void shuffle_twice(int* data) {
  const int mine = static_cast<int>(threadIdx.x);
  data[mine] = __shfl_xor_sync(0xffffffff, mine, 1) * 100 + __shfl_xor_sync(0xffffffff, mine, 16);
}

TEST(CudaEmulator, AShuffleReadsTheLaneThatTheMaskSays) {
  std::vector<int> data(64);
  launch("shuffle", dim3(1), dim3(64), nullptr, shuffle_twice, data.data());
  for (int i = 0; i < 64; ++i) EXPECT_EQ(data[i], (i ^ 1) * 100 + (i ^ 16));
}

void half_waits() {
  if (threadIdx.x < 16) __syncthreads();
}

void half_shuffles() {
  if (threadIdx.x < 16) __shfl_xor_sync(0xffffffff, 1, 1);
}

std::string error_of(void (*kernel)(), const dim3& grid, const dim3& threads) {
  try {
    launch("probe", grid, threads, nullptr, kernel);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(CudaEmulator, ABarrierThatNotAllThreadsReachIsAnErrorThatNamesTheKernel) {
  const std::string expected = "the CUDA kernel probe failed: not all threads reach a barrier";
  EXPECT_EQ(error_of(half_waits, dim3(1), dim3(32)), expected);
  EXPECT_EQ(error_of(half_shuffles, dim3(1), dim3(32)), expected);
  EXPECT_EQ(error_of(half_shuffles, dim3(1), dim3(16)), expected);
  EXPECT_EQ(error_of(half_waits, dim3(1), dim3(16)), "");
}

TEST(CudaEmulator, AGridOrBlockBeyondCudasLimitsIsAnError) {
  const std::string expected = "the CUDA kernel probe failed: invalid configuration argument";
  for (const auto& [grid, threads] :
       std::vector<std::pair<dim3, dim3>>{{dim3(0x80000000U), dim3(32)},
                                          {dim3(1, 65536), dim3(32)},
                                          {dim3(1), dim3(1025)},
                                          {dim3(1), dim3(1, 1, 65)},
                                          {dim3(1), dim3(0)}})
    EXPECT_EQ(error_of(half_waits, grid, threads), expected);
}

}  // namespace
}  // namespace fathom::cuda
