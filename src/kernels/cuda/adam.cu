// Adam over many tensors at once: their descriptions are arguments of the kernel, and each block
// updates a fixed number of elements of one.
#include <cmath>

#include "../stochastic_rounding.h"
#include "kernels.cuh"
#include "launch.cuh"
#include "numbers.cuh"

namespace fathom::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kBlockElements = 8192;
constexpr int kTensorsPerLaunch = 56;

struct Tensors {
  AdamTensor tensor[kTensorsPerLaunch];
  int64_t first_block[kTensorsPerLaunch + 1];  // of each, then the end
};

/// An AdamStep in the GPU's arithmetic.
struct Settings {
  float beta1, one_less_beta1, log_beta1;
  float beta2, one_less_beta2, log_beta2;
  float eps, weight_decay;
  bool decoupled_decay;
  const float *lr, *step, *gradient_divisor, *skip;
};

// What a launch can pass on every GPU and driver.
static_assert(sizeof(Tensors) + sizeof(Settings) <= 4096);

/// What all elements of a tensor share in one step.
struct Factors {
  float of_gradient, of_parameter;  // of the latter: what decoupled decay leaves
  float step_size;                  // lr / (1 - beta1^step)
  float of_second;                  // 1 / sqrt(1 - beta2^step)
  RoundingSeed seed;
};

__device__ __forceinline__ Factors factors_of(const Settings& s, uint64_t key) {
  const float step = *s.step, lr = *s.lr;
  // 1 - beta^step without the cancellation.
  const float correction1 = -expm1f(step * s.log_beta1);
  const float correction2 = -expm1f(step * s.log_beta2);
  return {1.0F / *s.gradient_divisor, s.decoupled_decay ? 1.0F - lr * s.weight_decay : 1.0F,
          lr / correction1, rsqrtf(correction2), rounding_seed(key, static_cast<uint64_t>(step))};
}

/// Rounds and stores; RoundingBits says which of the random bits.
template <bool kStochastic, typename T, int N>
__device__ __forceinline__ void store(T* p, const float (&x)[N], const RoundingBits (&random)[N],
                                      uint32_t RoundingBits::*which) {
  if constexpr (kStochastic) {
    Pack<T, N> pack;
#pragma unroll
    for (int j = 0; j < N; ++j)
      pack.at[j] =
          __ushort_as_bfloat16(round_stochastically(__float_as_uint(x[j]), random[j].*which));
    store_pack(p, pack);
  } else {
    store_pack(p, rounded<T, N>(x));
  }
}

/// Elements [i, i + N).
template <typename T, bool kStochastic, int N>
__device__ __forceinline__ void update(const Settings& s, const Factors& f, const AdamTensor& t,
                                       int64_t i) {
  T* parameter = static_cast<T*>(t.parameter) + i;
  T* first = static_cast<T*>(t.first_moment) + i;
  T* second = static_cast<T*>(t.second_moment) + i;
  const Pack<T, N> gradient = load_pack<N>(static_cast<const T*>(t.gradient) + i);
  const Pack<T, N> w_before = load_pack<N>(parameter);
  const Pack<T, N> m_before = load_pack<N>(first), v_before = load_pack<N>(second);
  float w[N], m[N], v[N];
  RoundingBits random[N] = {};
#pragma unroll
  for (int j = 0; j < N; ++j) {
    w[j] = to_float(w_before.at[j]);
    float g = to_float(gradient.at[j]) * f.of_gradient;
    if (!s.decoupled_decay) g += s.weight_decay * w[j];
    m[j] = s.beta1 * to_float(m_before.at[j]) + s.one_less_beta1 * g;
    v[j] = s.beta2 * to_float(v_before.at[j]) + s.one_less_beta2 * g * g;
    w[j] =
        w[j] * f.of_parameter - __fdividef(f.step_size * m[j], sqrtf(v[j]) * f.of_second + s.eps);
    if constexpr (kStochastic) random[j] = rounding_bits(f.seed, static_cast<uint32_t>(i + j));
  }
  store<kStochastic>(parameter, w, random, &RoundingBits::parameter);
  store<kStochastic>(first, m, random, &RoundingBits::first_moment);
  store<kStochastic>(second, v, random, &RoundingBits::second_moment);
}

__device__ __forceinline__ bool all_aligned(const AdamTensor& t) {
  const auto bits = [](const void* p) { return reinterpret_cast<uintptr_t>(p); };
  return (bits(t.parameter) | bits(t.gradient) | bits(t.first_moment) | bits(t.second_moment)) %
             16 ==
         0;
}

template <typename T, bool kStochastic>
__global__ void __launch_bounds__(kThreads)
    adam_kernel(const __grid_constant__ Settings settings, const __grid_constant__ Tensors all) {
  if (*settings.skip == 1.0F) return;
  constexpr int kWidth = kFullPack<T>;
  int which = 0;
  while (blockIdx.x >= all.first_block[which + 1]) ++which;
  const AdamTensor& t = all.tensor[which];
  const Factors factors = factors_of(settings, t.key);
  const int64_t begin = (blockIdx.x - all.first_block[which]) * kBlockElements;
  const int64_t end = begin + kBlockElements < t.size ? begin + kBlockElements : t.size;
  const int64_t in_packs = all_aligned(t) ? (end - begin) / kWidth * kWidth : 0;
  for (int64_t i = begin + threadIdx.x * kWidth; i < begin + in_packs; i += kThreads * kWidth)
    update<T, kStochastic, kWidth>(settings, factors, t, i);
  for (int64_t i = begin + in_packs + threadIdx.x; i < end; i += kThreads)
    update<T, kStochastic, 1>(settings, factors, t, i);
}

Settings settings_of(const AdamStep& s) {
  const auto narrow = [](double x) { return static_cast<float>(x); };
  return {.beta1 = narrow(s.beta1),
          .one_less_beta1 = narrow(1 - s.beta1),
          .log_beta1 = narrow(std::log(s.beta1)),
          .beta2 = narrow(s.beta2),
          .one_less_beta2 = narrow(1 - s.beta2),
          .log_beta2 = narrow(std::log(s.beta2)),
          .eps = narrow(s.eps),
          .weight_decay = narrow(s.weight_decay),
          .decoupled_decay = s.decoupled_decay,
          .lr = s.lr,
          .step = s.step,
          .gradient_divisor = s.gradient_divisor,
          .skip = s.skip};
}

void launch_adam(const AdamStep& step, const Tensors& tensors, int64_t blocks,
                 StreamHandle stream) {
  const Settings settings = settings_of(step);
  const dim3 grid = grid_of(blocks), block(kThreads);
  if (step.type == NumberType::float32)
    launch("adam", grid, block, stream, adam_kernel<float, false>, settings, tensors);
  else if (step.stochastic_rounding)
    launch("adam", grid, block, stream, adam_kernel<__nv_bfloat16, true>, settings, tensors);
  else
    launch("adam", grid, block, stream, adam_kernel<__nv_bfloat16, false>, settings, tensors);
}

}  // namespace

void adam(const AdamStep& step, const AdamTensor* tensors, int64_t count, StreamHandle stream) {
  for (int64_t begin = 0; begin < count; begin += kTensorsPerLaunch) {
    Tensors some = {};
    const int64_t here = std::min<int64_t>(count - begin, kTensorsPerLaunch);
    int64_t blocks = 0;
    for (int64_t i = 0; i < here; ++i) {
      some.tensor[i] = tensors[begin + i];
      blocks += divide_up(some.tensor[i].size, kBlockElements);
      some.first_block[i + 1] = blocks;
    }
    launch_adam(step, some, blocks, stream);
  }
}

}  // namespace fathom::cuda
