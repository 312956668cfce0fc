// Loops of SwiGLU on CPU, over rows that hold gate and up side by side.
#pragma once

#include <cstdint>

namespace fathom {

/// Rows [begin, end): y [rows, width] = silu(gate) * up.
/// @param gate_up [rows, 2 width]: gate, then up
void swiglu_forward(const float* gate_up, int64_t width, int64_t begin, int64_t end, float* y);

/// Rows [begin, end): turns dy [rows, width] into y and writes the gradient of gate_up [rows, 2
/// width].
void swiglu_backward(const float* gate_up, int64_t width, int64_t begin, int64_t end, float* dy,
                     float* grad_gate_up);

}  // namespace fathom
