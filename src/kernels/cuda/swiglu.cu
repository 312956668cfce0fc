// SwiGLU, forward and backward: each number is read once and written once.
#include "kernels.cuh"
#include "launch.cuh"
#include "numbers.cuh"

namespace fathom::cuda {
namespace {

/// Calls body(row, i) for the packs i of this thread's row.
template <typename Body>
__device__ __forceinline__ void for_each_pack(int64_t rows, int64_t packs, const Body& body) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row < rows)
    for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) body(row, i);
}

template <typename T, int N>
__global__ void __launch_bounds__(256) forward_kernel(SwigluForward p) {
  for_each_pack(p.rows, p.width / N, [&](int64_t row, int64_t i) {
    const T* gate_up = static_cast<const T*>(p.gate_up) + 2 * row * p.width + i * N;
    const Pack<T, N> gate = load_pack<N>(gate_up), up = load_pack<N>(gate_up + p.width);
    float y[N];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float g = to_float(gate.at[j]);
      y[j] = g * sigmoid(g) * to_float(up.at[j]);
    }
    store_pack(static_cast<T*>(p.y) + row * p.width + i * N, rounded<T, N>(y));
  });
}

template <typename T, int N>
__global__ void __launch_bounds__(256) backward_kernel(SwigluBackward p) {
  for_each_pack(p.rows, p.width / N, [&](int64_t row, int64_t i) {
    const int64_t gate_at = 2 * row * p.width + i * N;
    const T* gate_up = static_cast<const T*>(p.gate_up) + gate_at;
    T* grad_gate_up = static_cast<T*>(p.grad_gate_up) + gate_at;
    T* dy_y = static_cast<T*>(p.dy) + row * p.width + i * N;
    const Pack<T, N> gate = load_pack<N>(gate_up), up = load_pack<N>(gate_up + p.width);
    const Pack<T, N> dy = load_pack<N>(dy_y);
    float grad_gate[N], grad_up[N], y[N];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float g = to_float(gate.at[j]), u = to_float(up.at[j]), d = to_float(dy.at[j]);
      const float s = sigmoid(g);
      grad_gate[j] = d * u * s * (1.0F + g * (1.0F - s));
      grad_up[j] = d * g * s;
      y[j] = g * s * u;
    }
    store_pack(grad_gate_up, rounded<T, N>(grad_gate));
    store_pack(grad_gate_up + p.width, rounded<T, N>(grad_up));
    store_pack(dy_y, rounded<T, N>(y));
  });
}

}  // namespace

void swiglu_forward(const SwigluForward& p, StreamHandle stream) {
  with_access(p.type, {p.width}, {p.gate_up, p.y}, [&](auto access) {
    using T = typename decltype(access)::Type;
    constexpr int kWidth = decltype(access)::kWidth;
    const auto [grid, block] = grid_of_rows(p.rows, p.width / kWidth);
    launch("swiglu_forward", grid, block, stream, forward_kernel<T, kWidth>, p);
  });
}

void swiglu_backward(const SwigluBackward& p, StreamHandle stream) {
  with_access(p.type, {p.width}, {p.gate_up, p.dy, p.grad_gate_up}, [&](auto access) {
    using T = typename decltype(access)::Type;
    constexpr int kWidth = decltype(access)::kWidth;
    const auto [grid, block] = grid_of_rows(p.rows, p.width / kWidth);
    launch("swiglu_backward", grid, block, stream, backward_kernel<T, kWidth>, p);
  });
}

}  // namespace fathom::cuda
