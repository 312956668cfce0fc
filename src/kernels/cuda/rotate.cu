// The rotary embedding, in place or between two layouts: a thread turns the two halves of a pack.
#include "kernels.cuh"
#include "launch.cuh"
#include "numbers.cuh"

namespace fathom::cuda {
namespace {

constexpr int64_t kThreads = 256;
constexpr int64_t kMostInZ = 64;
constexpr int64_t kMostBlocksInY = 65535;

template <typename T, int N>
__device__ __forceinline__ void rotate_pack(const T* x, T* out, int64_t half, const float* cos,
                                            const float* sin, float direction) {
  const Pack<T, N> a = load_pack<N>(x), b = load_pack<N>(x + half);
  const Pack<float, N> c = load_pack<N>(cos), s = load_pack<N>(sin);
  float first[N], second[N];
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float p = to_float(a.at[j]), q = to_float(b.at[j]), turn = s.at[j] * direction;
    first[j] = p * c.at[j] - q * turn;
    second[j] = q * c.at[j] + p * turn;
  }
  store_pack(out, rounded<T, N>(first));
  store_pack(out + half, rounded<T, N>(second));
}

/// x of the grid and z of the block are the time, y of the grid goes over rows; y of the block over
/// heads, x of the block over the packs of a half.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads) rotate_kernel(Rotation p) {
  const HeadStrides &from = p.x_strides, &to = p.out_strides;
  const int64_t time = static_cast<int64_t>(blockIdx.x) * blockDim.z + threadIdx.z;
  if (time >= p.length) return;
  for (int64_t row = blockIdx.y; row < p.rows; row += gridDim.y)
    for (int64_t head = threadIdx.y; head < p.heads; head += blockDim.y)
      for (int64_t i = threadIdx.x; i < p.half / N; i += blockDim.x) {
        const int64_t read = row * from.row + time * from.time + head * from.head + i * N;
        const int64_t written = row * to.row + time * to.time + head * to.head + i * N;
        const int64_t angle = time * p.half + i * N;
        rotate_pack<T, N>(static_cast<const T*>(p.x) + read, static_cast<T*>(p.out) + written,
                          p.half, p.cos + angle, p.sin + angle, p.direction);
      }
}

}  // namespace

void rotate(const Rotation& p, StreamHandle stream) {
  if (p.rows == 0 || p.length == 0 || p.heads == 0 || p.half == 0) return;
  const HeadStrides &from = p.x_strides, &to = p.out_strides;
  with_access(p.type, {p.half, from.row, from.time, from.head, to.row, to.time, to.head},
              {p.x, p.out, p.cos, p.sin}, [&](auto access) {
                using T = typename decltype(access)::Type;
                constexpr int kWidth = decltype(access)::kWidth;
                const int64_t x = std::min(p.half / kWidth, kThreads);
                const int64_t y = std::min(p.heads, kThreads / x);
                const int64_t z = std::min({p.length, kThreads / (x * y), kMostInZ});
                dim3 grid = grid_of(divide_up(p.length, z));
                grid.y = static_cast<unsigned>(std::min(p.rows, kMostBlocksInY));
                const dim3 block(static_cast<unsigned>(x), static_cast<unsigned>(y),
                                 static_cast<unsigned>(z));
                launch("rotate", grid, block, stream, rotate_kernel<T, kWidth>, p);
              });
}

}  // namespace fathom::cuda
