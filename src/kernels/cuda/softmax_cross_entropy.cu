// Softmax cross-entropy and its gradient: a block reads its row twice, the second time from the
// cache, and writes it once.
#include <cfloat>
#include <cmath>

#include "kernels.cuh"
#include "launch.cuh"
#include "rows.cuh"

namespace fathom::cuda {
namespace {

constexpr int kThreads = 512;
[[maybe_unused]] constexpr int kBlocksPerMultiprocessor = 3;
constexpr int kBatch = 2;  // packs that a thread has in flight

/// Of some logits: the largest, and the sum of exp(logit - max). The largest starts as a finite
/// number, so that a logit of -inf adds 0; a NaN reaches the sum.
struct MaxSum {
  float max = -FLT_MAX, sum = 0.0F;
};

__device__ __forceinline__ MaxSum warp_total(const MaxSum& x) {
  const float max = warp_max(x.max);
  return {max, warp_sum(x.sum * fast_exp(x.max - max))};
}

/// The same in all threads of the block.
__device__ __forceinline__ MaxSum block_total(MaxSum x) {
  constexpr unsigned kWarps = kThreads / kWarp;
  __shared__ float max_of[kWarps], sum_of[kWarps];
  x = warp_total(x);
  if (threadIdx.x % kWarp == 0) {
    max_of[threadIdx.x / kWarp] = x.max;
    sum_of[threadIdx.x / kWarp] = x.sum;
  }
  __syncthreads();
  const unsigned warp = threadIdx.x % kWarp;
  MaxSum part;
  if (warp < kWarps) part = {max_of[warp], sum_of[warp]};
  return warp_total(part);
}

template <typename T, int N>
__device__ __forceinline__ MaxSum with(const MaxSum& before, const Pack<T, N>& pack) {
  MaxSum total = before;
#pragma unroll
  for (int j = 0; j < N; ++j) total.max = fmaxf(total.max, to_float(pack.at[j]));
  total.sum *= fast_exp(before.max - total.max);
#pragma unroll
  for (int j = 0; j < N; ++j) total.sum += fast_exp(to_float(pack.at[j]) - total.max);
  return total;
}

/// A row as full packs from the first aligned number on, whatever the stride, and single numbers
/// before and after them, of which each thread has one at most.
template <typename T>
struct RowLayout {
  static constexpr int kWidth = kFullPack<T>;
  static constexpr int kStep = kBatch * kThreads;  // packs of a batch
  int begin, packs;
  int single;  // this thread's number, or -1

  __device__ __forceinline__ RowLayout(const T* row, int size) {
    const int misaligned = static_cast<int>(reinterpret_cast<uintptr_t>(row) % 16 / sizeof(T));
    begin = misaligned == 0 ? 0 : min(kWidth - misaligned, size);
    packs = (size - begin) / kWidth;
    const int thread = static_cast<int>(threadIdx.x);
    single = thread < begin ? thread : thread + packs * kWidth;
    if (single >= size) single = -1;
  }

  /// The first pack of the last batch.
  __device__ __forceinline__ int last() const { return (packs - 1) / kStep * kStep; }

  /// Loads this thread's packs of the batch that starts with pack `first`, then calls
  /// body(pack, place of its first number) for each.
  template <typename Body>
  __device__ __forceinline__ void for_batch(const T* row, int first, const Body& body) const {
    Pack<T, kWidth> held[kBatch];
    const int mine = first + static_cast<int>(threadIdx.x);
#pragma unroll
    for (int k = 0; k < kBatch; ++k)
      if (mine + k * kThreads < packs)
        held[k] = load_pack<kWidth>(row + begin + (mine + k * kThreads) * kWidth);
#pragma unroll
    for (int k = 0; k < kBatch; ++k)
      if (mine + k * kThreads < packs) body(held[k], begin + (mine + k * kThreads) * kWidth);
  }
};

template <typename T>
__device__ __forceinline__ void write_zeros(T* row, int size) {
  const RowLayout<T> layout(row, size);
  const Pack<T, RowLayout<T>::kWidth> zeros = {};
  for (int i = static_cast<int>(threadIdx.x); i < layout.packs; i += kThreads)
    store_pack(row + layout.begin + i * RowLayout<T>::kWidth, zeros);
  if (layout.single >= 0) row[layout.single] = zeros.at[0];
}

/// The gradient of scale * loss is exp(logit - max) * factor, less scale at the target.
struct Gradient {
  float max, factor, scale;
  int target;
};

template <typename T, int N>
__device__ __forceinline__ void write_gradient(const Gradient& g, const Pack<T, N>& logits, int at,
                                               T* row) {
  float gradient[N];
#pragma unroll
  for (int j = 0; j < N; ++j) gradient[j] = fast_exp(to_float(logits.at[j]) - g.max) * g.factor;
  if (g.target >= at && g.target < at + N) {
#pragma unroll
    for (int j = 0; j < N; ++j)
      if (g.target == at + j) gradient[j] -= g.scale;
  }
  store_pack(row + at, rounded<T, N>(gradient));
}

template <typename T>
__device__ __forceinline__ void softmax_row(const SoftmaxCrossEntropy& p, T* row, int target,
                                            float* loss) {
  constexpr int kWidth = RowLayout<T>::kWidth;
  const RowLayout<T> layout(row, static_cast<int>(p.vocabulary));
  const float of_target = threadIdx.x == 0 ? to_float(row[target]) : 0.0F;
  MaxSum total;
  if (layout.single >= 0) total = with(total, load_pack<1>(row + layout.single));
  for (int first = 0; first < layout.packs; first += layout.kStep)
    layout.for_batch(row, first,
                     [&](const Pack<T, kWidth>& pack, int) { total = with(total, pack); });
  total = block_total(total);

  const float log_sum = total.max + logf(total.sum);
  if (threadIdx.x == 0)
    *loss = (total.max - of_target + logf(total.sum) + p.z_loss * log_sum * log_sum) * p.scale;
  const float slope = 1.0F + 2.0F * p.z_loss * log_sum;  // of the loss over log_sum
  const Gradient gradient{total.max, slope * p.scale / total.sum, p.scale, target};
  // What was read last is most likely still in the cache.
  for (int first = layout.last(); first >= 0; first -= layout.kStep)
    layout.for_batch(row, first, [&](const Pack<T, kWidth>& pack, int at) {
      write_gradient<T, kWidth>(gradient, pack, at, row);
    });
  if (layout.single >= 0)
    write_gradient<T, 1>(gradient, load_pack<1>(row + layout.single), layout.single, row);
}

template <typename T>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    softmax_kernel(SoftmaxCrossEntropy p) {
  const int64_t row = blockIdx.x, target = p.target[row];
  T* logits = static_cast<T*>(p.logits) + row * p.stride;
  if (target >= 0 && target < p.vocabulary) {
    softmax_row(p, logits, static_cast<int>(target), p.loss + row);
  } else {
    write_zeros(logits, static_cast<int>(p.vocabulary));
    // A class that doesn't exist stops the run, as the host can't throw for it.
    if (threadIdx.x == 0) p.loss[row] = target < 0 ? 0.0F : nanf("");
  }
}

}  // namespace

void softmax_cross_entropy(const SoftmaxCrossEntropy& p, StreamHandle stream) {
  const dim3 grid = grid_of(p.rows), block(kThreads);
  if (p.type == NumberType::bfloat16)
    launch("softmax_cross_entropy", grid, block, stream, softmax_kernel<__nv_bfloat16>, p);
  else
    launch("softmax_cross_entropy", grid, block, stream, softmax_kernel<float>, p);
}

}  // namespace fathom::cuda
