#include <cmath>

#include "kernels/number_types.h"
#include "kernels/stochastic_rounding.h"
#include "loops.h"
#include "vector_clones.h"

namespace fathom {
namespace {

/// What all elements of a step share.
struct Factors {
  float beta1, beta2, one_less_beta1, one_less_beta2;
  float divisor, decay, shrink, rate, root_of_correction, eps;
  RoundingSeed seed;
};

Factors factors_of(const AdamStep& task, uint64_t key) {
  const double step = *task.step, lr = *task.lr;
  const double correction1 = 1 - std::pow(task.beta1, step);
  const double correction2 = 1 - std::pow(task.beta2, step);
  const bool decoupled = task.decoupled_decay;
  const auto narrow = [](double x) { return static_cast<float>(x); };
  return {.beta1 = narrow(task.beta1),
          .beta2 = narrow(task.beta2),
          .one_less_beta1 = narrow(1 - task.beta1),
          .one_less_beta2 = narrow(1 - task.beta2),
          .divisor = *task.gradient_divisor,
          .decay = decoupled ? 0.0F : narrow(task.weight_decay),
          .shrink = decoupled ? narrow(1 - lr * task.weight_decay) : 1.0F,
          .rate = narrow(lr / correction1),
          .root_of_correction = narrow(std::sqrt(correction2)),
          .eps = narrow(task.eps),
          .seed = rounding_seed(key, static_cast<uint64_t>(step))};
}

/// To the nearest T, or up or down by 16 random bits.
template <typename T, bool kStochastic>
FATHOM_INLINE T rounded(float x, uint32_t random) {
  if constexpr (kStochastic) {
    return {round_stochastically(std::bit_cast<uint32_t>(x), random)};
  } else {
    return narrowed<T>(x);
  }
}

template <typename T, bool kStochastic = false>
FATHOM_INLINE void update(const Factors& f, const AdamTensor& tensor, int64_t begin, int64_t end) {
  T* __restrict parameter = static_cast<T*>(tensor.parameter);
  const T* __restrict gradient = static_cast<const T*>(tensor.gradient);
  T* __restrict first = static_cast<T*>(tensor.first_moment);
  T* __restrict second = static_cast<T*>(tensor.second_moment);
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float w = widened(parameter[i]);
    const float g = widened(gradient[i]) / f.divisor + f.decay * w;
    const float m = f.beta1 * widened(first[i]) + f.one_less_beta1 * g;
    const float v = f.beta2 * widened(second[i]) + f.one_less_beta2 * g * g;
    const RoundingBits random =
        kStochastic ? rounding_bits(f.seed, static_cast<uint32_t>(i)) : RoundingBits{};
    first[i] = rounded<T, kStochastic>(m, random.first_moment);
    second[i] = rounded<T, kStochastic>(v, random.second_moment);
    const float change = f.rate * m / (std::sqrt(v) / f.root_of_correction + f.eps);
    parameter[i] = rounded<T, kStochastic>(f.shrink * w - change, random.parameter);
  }
}

}  // namespace

FATHOM_VECTOR_CLONES
void adam_elements(const AdamStep& task, const AdamTensor& tensor, int64_t begin, int64_t end) {
  const Factors factors = factors_of(task, tensor.key);
  if (task.type == NumberType::float32) {
    update<float>(factors, tensor, begin, end);
  } else if (task.stochastic_rounding) {
    update<Bf16, true>(factors, tensor, begin, end);
  } else {
    update<Bf16>(factors, tensor, begin, end);
  }
}

}  // namespace fathom
