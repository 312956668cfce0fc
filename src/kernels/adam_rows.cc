#include <cmath>

#include "cpu_loops.h"
#include "number_types.h"
#include "vector_clones.h"

namespace fathom {
namespace {

/// What all elements of a step share.
struct Factors {
  float beta1, beta2, one_less_beta1, one_less_beta2;
  float divisor, decay, shrink, rate, root_of_correction, eps;
};

Factors factors_of(const AdamStep& task) {
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
          .eps = narrow(task.eps)};
}

template <typename T>
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
    first[i] = narrowed<T>(m);
    second[i] = narrowed<T>(v);
    parameter[i] =
        narrowed<T>(f.shrink * w - f.rate * m / (std::sqrt(v) / f.root_of_correction + f.eps));
  }
}

}  // namespace

FATHOM_VECTOR_CLONES
void adam_elements(const AdamStep& task, const AdamTensor& tensor, int64_t begin, int64_t end) {
  const Factors factors = factors_of(task);
  with_type(
      task.type, [&](auto number) __attribute__((always_inline)) {
        update<decltype(number)>(factors, tensor, begin, end);
      });
}

}  // namespace fathom
