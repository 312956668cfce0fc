#include "kernels/number_types.h"
#include "loops.h"
#include "vector_clones.h"

namespace fathom {
namespace {

template <typename T>
FATHOM_INLINE void forward_row(const SwigluForward& task, int64_t row) {
  const T* gate = static_cast<const T*>(task.gate_up) + 2 * row * task.width;
  const T* up = gate + task.width;
  T* y = static_cast<T*>(task.y) + row * task.width;
  for_each_vector(
      task.width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
        const Floats g = load(gate + i, n);
        store(y + i, g * sigmoid(g) * load(up + i, n), n);
      });
}

template <typename T>
FATHOM_INLINE void backward_row(const SwigluBackward& task, int64_t row) {
  const T* gate = static_cast<const T*>(task.gate_up) + 2 * row * task.width;
  const T* up = gate + task.width;
  T* dy = static_cast<T*>(task.dy) + row * task.width;
  T* grad_gate = static_cast<T*>(task.grad_gate_up) + 2 * row * task.width;
  T* grad_up = grad_gate + task.width;
  for_each_vector(
      task.width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
        const Floats g = load(gate + i, n), u = load(up + i, n), d = load(dy + i, n);
        const Floats s = sigmoid(g);
        const Floats silu = g * s;
        store(grad_gate + i, d * u * (s + silu * (1.0F - s)), n);
        store(grad_up + i, d * silu, n);
        store(dy + i, silu * u, n);
      });
}

}  // namespace

FATHOM_VECTOR_CLONES
void swiglu_forward_rows(const SwigluForward& task, int64_t begin, int64_t end) {
  with_type(
      task.type, [&](auto number) __attribute__((always_inline)) {
        for (int64_t row = begin; row < end; ++row) forward_row<decltype(number)>(task, row);
      });
}

FATHOM_VECTOR_CLONES
void swiglu_backward_rows(const SwigluBackward& task, int64_t begin, int64_t end) {
  with_type(
      task.type, [&](auto number) __attribute__((always_inline)) {
        for (int64_t row = begin; row < end; ++row) backward_row<decltype(number)>(task, row);
      });
}

}  // namespace fathom
