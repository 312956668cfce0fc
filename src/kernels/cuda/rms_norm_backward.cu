// RMSNorm's backward pass: a block takes a range of rows and keeps its part of the gradient of
// weight in registers until the end, so that nothing is added in an order that varies.
#include <algorithm>

#include "kernels.cuh"
#include "launch.cuh"
#include "rows.cuh"

namespace fathom::cuda {
namespace {

// What the registers allow.
template <int kThreads>
[[maybe_unused]] constexpr int kBlocksPerMultiprocessor = kBlockThreads<kThreads> > 256 ? 1 : 3;

// 3 for each of the 132 multiprocessors of an H100: no block waits for another, and the parts are
// little to write and to add beside thousands of rows.
constexpr int64_t kMostParts = 396;
constexpr int64_t kFewestRowsOfPart = 4;

/// With g = dy weight scale: dx = inverse g - inverse^3 mean(g sum) sum, as two factors.
struct RowFactors {
  float of_dy;   // inverse scale: also of the gradient of weight
  float of_sum;  // inverse^3 scale mean(dy weight sum)
};

template <typename T, typename W, int N>
__device__ __forceinline__ float dot(const Pack<T, N>& x, const Pack<T, N>& dy, const W* weight) {
  const Pack<W, N> w = load_pack<N>(weight);
  float sum = 0.0F;
#pragma unroll
  for (int j = 0; j < N; ++j) sum += to_float(dy.at[j]) * to_float(w.at[j]) * to_float(x.at[j]);
  return sum;
}

/// Writes dx; adds to dw [N].
template <typename T, typename W, int N>
__device__ __forceinline__ void write_gradient(const Pack<T, N>& x, const Pack<T, N>& dy,
                                               const W* weight, const Pack<T, N>& direct,
                                               const RowFactors& factors, T* dx, float* dw) {
  const Pack<W, N> w = load_pack<N>(weight);
  float result[N];
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float of_y = to_float(dy.at[j]) * factors.of_dy;
    const float of_norm = of_y * to_float(w.at[j]) - to_float(x.at[j]) * factors.of_sum;
    result[j] = of_norm + to_float(direct.at[j]);
    dw[j] += of_y * to_float(x.at[j]);
  }
  store_pack(dx, rounded<T, N>(result));
}

template <typename T, typename W, int N, int kThreads>
__device__ __forceinline__ void backward_row(const RmsNormBackward& p, int64_t row, int packs,
                                             bool first, RowSum<kThreads>& row_sum,
                                             float (&dw)[kHeld<N>][N]) {
  const int64_t dim = p.shape.dim;
  const T* x = static_cast<const T*>(p.sum) + row * dim;
  const T* dy = static_cast<const T*>(p.dy) + row * dim;
  const T* direct = p.direct ? static_cast<const T*>(p.direct) + row * dim : nullptr;
  const W* weight = static_cast<const W*>(p.weight);
  T* dx = static_cast<T*>(p.dx) + row * dim;

  HeldPacks<T, N> held_x, held_dy, held_direct = {};
  load_held<kThreads, N>(x, packs, held_x);
  load_held<kThreads, N>(dy, packs, held_dy);
  if (direct) load_held<kThreads, N>(direct, packs, held_direct);
  float product = 0.0F;
  for_held<kThreads, N>(
      packs, [&](int k, int i) { product += dot<T, W, N>(held_x[k], held_dy[k], weight + i * N); });
  for_rest<kThreads, N>(packs, [&](int i) {
    product += dot<T, W, N>(load_pack<N>(x + i * N), load_pack<N>(dy + i * N), weight + i * N);
  });

  const float inverse = packs > 0 ? p.inverse_rms[row] : 0.0F;
  const float of_dy = inverse * p.shape.scale;
  const float mean = row_sum(product) / static_cast<float>(dim);
  const RowFactors factors{of_dy, of_dy * inverse * inverse * mean};
  for_held<kThreads, N>(packs, [&](int k, int i) {
    write_gradient<T, W, N>(held_x[k], held_dy[k], weight + i * N, held_direct[k], factors,
                            dx + i * N, dw[k]);
  });
  // Columns that nobody holds are added up in this block's part itself.
  float* part = p.dw_parts + blockIdx.x * dim;
  for_rest<kThreads, N>(packs, [&](int i) {
    Pack<float, N> total = {};
    if (!first) total = load_pack<N>(part + i * N);
    Pack<T, N> beside = {};
    if (direct) beside = load_pack<N>(direct + i * N);
    write_gradient<T, W, N>(load_pack<N>(x + i * N), load_pack<N>(dy + i * N), weight + i * N,
                            beside, factors, dx + i * N, total.at);
    store_pack(part + i * N, total);
  });
}

/// Writes this block's part: the sum of dw over the rows that it works on side by side.
template <int N, int kThreads>
__device__ __forceinline__ void write_part(float (&dw)[kHeld<N>][N], int packs, float* part) {
  constexpr int kRows = kBlockRows<kThreads>;
  if constexpr (kRows > 1) {
    __shared__ float total[kHeld<N>][N][kThreads];
    for (int y = 0; y < kRows; ++y) {
      if (static_cast<int>(threadIdx.y) == y)
#pragma unroll
        for (int k = 0; k < kHeld<N>; ++k)
#pragma unroll
          for (int j = 0; j < N; ++j) {
            float& sum = total[k][j][threadIdx.x];
            sum = y == 0 ? dw[k][j] : sum + dw[k][j];
            dw[k][j] = sum;
          }
      __syncthreads();
    }
    if (threadIdx.y + 1 < kRows) return;
  }
  for_held<kThreads, N>(packs,
                        [&](int k, int i) { store_pack(part + i * N, rounded<float, N>(dw[k])); });
}

template <typename T, typename W, int N, int kThreads>
__global__ void __launch_bounds__(kBlockThreads<kThreads>, kBlocksPerMultiprocessor<kThreads>)
    backward_kernel(RmsNormBackward p) {
  const int64_t part = blockIdx.x;
  const int64_t begin = p.shape.rows * part / p.parts, end = p.shape.rows * (part + 1) / p.parts;
  float dw[kHeld<N>][N] = {};
  RowSum<kThreads> row_sum;
  const int packs = static_cast<int>(p.shape.dim / N);
  for (int64_t first = begin; first < end; first += kBlockRows<kThreads>) {
    const int64_t row = first + threadIdx.y;
    backward_row<T, W, N, kThreads>(p, row, row < end ? packs : 0, row == begin, row_sum, dw);
  }
  write_part<N, kThreads>(dw, packs, p.dw_parts + part * p.shape.dim);
}

template <typename T, typename W, int N>
void backward(const RmsNormBackward& p, StreamHandle stream) {
  with_threads<N>(p.shape.dim / N, [&](auto threads) {
    constexpr int kThreads = decltype(threads)::value;
    launch("rms_norm_backward", grid_of(p.parts), dim3(kThreads, kBlockRows<kThreads>), stream,
           backward_kernel<T, W, N, kThreads>, p);
  });
}

}  // namespace

int64_t rms_norm_parts(int64_t rows, int64_t /*dim*/) {
  return std::min(divide_up(rows, kFewestRowsOfPart), kMostParts);
}

void rms_norm_backward(const RmsNormBackward& p, StreamHandle stream) {
  const auto arrays = {p.sum,
                       p.weight,
                       p.dy,
                       p.direct,
                       static_cast<const void*>(p.dx),
                       static_cast<const void*>(p.dw_parts)};
  with_access(p.shape.type, {p.shape.dim}, arrays, [&](auto access) {
    using T = typename decltype(access)::Type;
    constexpr int kWidth = decltype(access)::kWidth;
    if (p.shape.weight_type == NumberType::float32)
      backward<T, float, kWidth>(p, stream);
    else
      backward<T, T, kWidth>(p, stream);
  });
}

}  // namespace fathom::cuda
