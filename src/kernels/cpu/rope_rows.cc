#include "kernels/number_types.h"
#include "loops.h"
#include "vector_clones.h"

namespace fathom {
namespace {

template <typename T>
FATHOM_INLINE void rotate_token(const Rotation& task, int64_t token) {
  const int64_t row = token / task.length, time = token % task.length, half = task.half;
  const float* cos = task.cos + time * half;
  const float* sin = task.sin + time * half;
  const auto offset = [&](const HeadStrides& strides, int64_t head) {
    return row * strides.row + time * strides.time + head * strides.head;
  };
  for (int64_t head = 0; head < task.heads; ++head) {
    const T* from = static_cast<const T*>(task.x) + offset(task.x_strides, head);
    T* to = static_cast<T*>(task.out) + offset(task.out_strides, head);
    // No two iterations touch the same number, also where x is out.
#pragma omp simd
    for (int64_t i = 0; i < half; ++i) {
      const float a = widened(from[i]), b = widened(from[i + half]);
      const float turned = sin[i] * task.direction;
      to[i] = narrowed<T>(a * cos[i] - b * turned);
      to[i + half] = narrowed<T>(b * cos[i] + a * turned);
    }
  }
}

}  // namespace

FATHOM_VECTOR_CLONES
void rotate_tokens(const Rotation& task, int64_t begin, int64_t end) {
  with_type(
      task.type, [&](auto number) __attribute__((always_inline)) {
        for (int64_t token = begin; token < end; ++token)
          rotate_token<decltype(number)>(task, token);
      });
}

}  // namespace fathom
