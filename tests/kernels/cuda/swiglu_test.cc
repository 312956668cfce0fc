#include <gtest/gtest.h>

#include <random>

#include "arrays.h"

namespace fathom {
namespace {

constexpr int64_t kWidths[] = {1, 33, 64, 771, 1000, 2048, 2056, 5461};

void check(NumberType type, int64_t rows, int64_t width, int64_t offset, std::mt19937& random) {
  Array gate_up(type, rows * 2 * width, random, -8, 8, offset);
  gate_up.set(0, 200.0);
  gate_up.set(2 * width * (rows - 1), -200.0);
  const Array grad(type, rows * width, random, -1, 1, offset);
  Array y(type, rows * width, offset), dy = grad;
  Array grad_gate_up(type, rows * 2 * width, offset);
  const RowKernels& kernels = *fathom_cuda_row_kernels();
  kernels.swiglu_forward({rows, width, type, gate_up.data(), y.data()}, nullptr);
  kernels.swiglu_backward({rows, width, type, gate_up.data(), dy.data(), grad_gate_up.data()},
                          nullptr);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < width; ++i) {
      const int64_t gate_at = 2 * row * width + i, up_at = gate_at + width, at = row * width + i;
      const double g = gate_up.get(gate_at), u = gate_up.get(up_at), d = grad.get(at);
      const double s = 1.0 / (1.0 + std::exp(-g));
      expect_number(y, at, g * s * u, std::abs(g * u), "y");
      expect_number(dy, at, g * s * u, std::abs(g * u), "y again");
      expect_number(grad_gate_up, gate_at, d * u * (s + g * s * (1 - s)),
                    std::abs(d * u) * (1 + std::abs(g)), "gradient of gate");
      expect_number(grad_gate_up, up_at, d * g * s, std::abs(d * g), "gradient of up");
    }
}

TEST(CudaSwiglu, BothPassesAreTheFormulaForAnyWidthTypeAndAlignment) {
  std::mt19937 random(test_seed());
  for (const NumberType type : kBothTypes)
    for (const int64_t width : kWidths)
      for (const int64_t offset : {0, 1}) {
        SCOPED_TRACE(name_of(type) + " " + std::to_string(width) + ", offset " +
                     std::to_string(offset));
        check(type, width < 100 ? 19 : 3, width, offset, random);
        if (HasFailure()) return;
      }
}

}  // namespace
}  // namespace fathom
