#include "swiglu_rows.h"

#include "vector_clones.h"
#include "vector_math.h"

namespace fathom {

FATHOM_VECTOR_CLONES
void swiglu_forward(const float* gate_up, int64_t width, int64_t begin, int64_t end, float* y) {
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = gate_up + 2 * row * width;
    const float* up = gate + width;
    float* out = y + row * width;
    for_each_vector(
        width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
          const Floats g = load(gate + i, n);
          store(out + i, g * sigmoid(g) * load(up + i, n), n);
        });
  }
}

FATHOM_VECTOR_CLONES
void swiglu_backward(const float* gate_up, int64_t width, int64_t begin, int64_t end, float* dy,
                     float* grad_gate_up) {
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = gate_up + 2 * row * width;
    const float* up = gate + width;
    float* grad = dy + row * width;
    float* grad_gate = grad_gate_up + 2 * row * width;
    float* grad_up = grad_gate + width;
    for_each_vector(
        width, [&](int64_t i, int64_t n) __attribute__((always_inline)) {
          const Floats g = load(gate + i, n), u = load(up + i, n), d = load(grad + i, n);
          const Floats s = sigmoid(g);
          const Floats silu = g * s;
          store(grad_gate + i, d * u * (s + silu * (1.0F - s)), n);
          store(grad_up + i, d * silu, n);
          store(grad + i, silu * u, n);
        });
  }
}

}  // namespace fathom
