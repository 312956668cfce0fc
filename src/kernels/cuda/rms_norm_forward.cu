// RMSNorm's forward pass: each row is read once, into registers.
#include "kernels.cuh"
#include "launch.cuh"
#include "rows.cuh"

namespace fathom::cuda {
namespace {

/// Adds the update to a pack, and stores the sum. @return the sum as stored
template <typename T, int N>
__device__ __forceinline__ Pack<T, N> add(const Pack<T, N>& x, const Pack<T, N>& update, T* sum) {
  float result[N];
#pragma unroll
  for (int j = 0; j < N; ++j) result[j] = to_float(x.at[j]) + to_float(update.at[j]);
  const Pack<T, N> stored = rounded<T, N>(result);
  store_pack(sum, stored);
  return stored;
}

template <typename T, int N>
__device__ __forceinline__ float sum_of_squares(const Pack<T, N>& pack) {
  float sum = 0.0F;
#pragma unroll
  for (int j = 0; j < N; ++j) sum += to_float(pack.at[j]) * to_float(pack.at[j]);
  return sum;
}

template <typename T, typename W, int N>
__device__ __forceinline__ void write_normed(const Pack<T, N>& x, float factor, const W* weight,
                                             T* y) {
  const Pack<W, N> w = load_pack<N>(weight);
  float result[N];
#pragma unroll
  for (int j = 0; j < N; ++j) result[j] = to_float(x.at[j]) * factor * to_float(w.at[j]);
  store_pack(y, rounded<T, N>(result));
}

template <typename T, typename W, int N, int kThreads>
__global__ void __launch_bounds__(kBlockThreads<kThreads>) forward_kernel(RmsNormForward p) {
  constexpr int kRows = kBlockRows<kThreads>;
  const W* weight = static_cast<const W*>(p.weight);
  const int64_t row = blockIdx.x * int64_t{kRows} + threadIdx.y, begin = row * p.shape.dim;
  const int packs = row < p.shape.rows ? static_cast<int>(p.shape.dim / N) : 0;
  const T* x = static_cast<const T*>(p.x) + begin;
  const T* update = p.update ? static_cast<const T*>(p.update) + begin : nullptr;
  T* sum = update ? static_cast<T*>(p.sum) + begin : nullptr;
  T* y = static_cast<T*>(p.y) + begin;

  HeldPacks<T, N> held;
  load_held<kThreads, N>(x, packs, held);
  if (update) {
    HeldPacks<T, N> updates;
    load_held<kThreads, N>(update, packs, updates);
    for_held<kThreads, N>(
        packs, [&](int k, int i) { held[k] = add<T, N>(held[k], updates[k], sum + i * N); });
  }
  float squares = 0.0F;
  for_held<kThreads, N>(packs, [&](int k, int) { squares += sum_of_squares(held[k]); });
  for_rest<kThreads, N>(packs, [&](int i) {
    Pack<T, N> pack = load_pack<N>(x + i * N);
    if (update) pack = add<T, N>(pack, load_pack<N>(update + i * N), sum + i * N);
    squares += sum_of_squares(pack);
  });

  const float inverse =
      rsqrtf(RowSum<kThreads>()(squares) / static_cast<float>(p.shape.dim) + p.shape.eps);
  const float factor = inverse * p.shape.scale;
  if (packs > 0 && threadIdx.x == 0) p.inverse_rms[row] = inverse;
  for_held<kThreads, N>(packs, [&](int k, int i) {
    write_normed<T, W, N>(held[k], factor, weight + i * N, y + i * N);
  });
  for_rest<kThreads, N>(packs, [&](int i) {
    const Pack<T, N> pack = load_pack<N>((update ? sum : x) + i * N);
    write_normed<T, W, N>(pack, factor, weight + i * N, y + i * N);
  });
}

template <typename T, typename W, int N>
void forward(const RmsNormForward& p, StreamHandle stream) {
  with_threads<N>(p.shape.dim / N, [&](auto threads) {
    constexpr int kThreads = decltype(threads)::value;
    constexpr int kRows = kBlockRows<kThreads>;
    launch("rms_norm_forward", grid_of(divide_up(p.shape.rows, kRows)), dim3(kThreads, kRows),
           stream, forward_kernel<T, W, N, kThreads>, p);
  });
}

}  // namespace

void rms_norm_forward(const RmsNormForward& p, StreamHandle stream) {
  with_access(p.shape.type, {p.shape.dim}, {p.x, p.update, p.weight, p.sum, p.y}, [&](auto access) {
    using T = typename decltype(access)::Type;
    constexpr int kWidth = decltype(access)::kWidth;
    if (p.shape.weight_type == NumberType::float32)
      forward<T, float, kWidth>(p, stream);
    else
      forward<T, T, kWidth>(p, stream);
  });
}

}  // namespace fathom::cuda
