#include <gtest/gtest.h>

#include <random>

#include "arrays.h"

namespace fathom {
namespace {

struct Shape {
  int64_t rows, length, heads, half;

  int64_t at(const HeadStrides& strides, int64_t row, int64_t time, int64_t head) const {
    return row * strides.row + time * strides.time + head * strides.head;
  }
};

constexpr Shape kShapes[] = {{1, 1, 1, 1},   {2, 5, 3, 13},  {2, 7, 4, 16},  {3, 4, 2, 24},
                             {2, 9, 12, 32}, {1, 3, 20, 64}, {2, 2, 3, 300}, {65540, 2, 1, 1}};

/// Of a projection to query, key and value: [row, time, 3, head, channel].
HeadStrides packed(const Shape& s) {
  return {s.length * 6 * s.heads * s.half, 6 * s.heads * s.half, 2 * s.half};
}

/// [row, head, time, channel]
HeadStrides by_head(const Shape& s) {
  return {s.heads * s.length * 2 * s.half, 2 * s.half, s.length * 2 * s.half};
}

struct Angles {
  Array cos, sin;

  Angles(const Shape& s, std::mt19937& random)
      : cos(NumberType::float32, s.length * s.half), sin(cos) {
    std::uniform_real_distribution<double> uniform(-4, 4);
    for (int64_t i = 0; i < cos.size(); ++i) {
      const double angle = uniform(random);
      cos.set(i, std::cos(angle));
      sin.set(i, std::sin(angle));
    }
  }
};

void rotate(const Shape& s, Array& x, const HeadStrides& from, Array& out, const HeadStrides& to,
            Angles& angles, float direction) {
  fathom_cuda_row_kernels()->rotate(
      {s.rows, s.length, s.heads, s.half, x.type(), x.data(), from, out.data(), to,
       angles.cos.floats(), angles.sin.floats(), direction},
      nullptr);
}

/// Expects what `out` holds of x, turned; where x was turned in place, `before` is a copy.
void expect_rotated(const Shape& s, const Array& before, const HeadStrides& from, const Array& out,
                    const HeadStrides& to, const Angles& angles, double direction) {
  for (int64_t row = 0; row < s.rows; ++row)
    for (int64_t time = 0; time < s.length; ++time)
      for (int64_t head = 0; head < s.heads; ++head)
        for (int64_t i = 0; i < s.half; ++i) {
          const int64_t read = s.at(from, row, time, head) + i;
          const int64_t written = s.at(to, row, time, head) + i;
          const double a = before.get(read), b = before.get(read + s.half);
          const double c = angles.cos.get(time * s.half + i);
          const double turn = angles.sin.get(time * s.half + i) * direction;
          expect_number(out, written, a * c - b * turn, std::abs(a * c) + std::abs(b * turn),
                        "first");
          expect_number(out, written + s.half, b * c + a * turn,
                        std::abs(b * c) + std::abs(a * turn), "second");
        }
}

TEST(CudaRotation, IsTheFormulaFromOneLayoutToAnotherForwardAndBack) {
  std::mt19937 random(test_seed());
  for (const NumberType type : kBothTypes)
    for (const Shape& s : kShapes)
      for (const int64_t offset : {0, 1})
        for (const float direction : {1.0F, -1.0F}) {
          if (!runs_case()) continue;
          SCOPED_TRACE(name_of(type) + ", half " + std::to_string(s.half));
          Angles angles(s, random);
          Array x(type, s.rows * packed(s).row, random, -1, 1, offset);
          Array out(type, s.rows * by_head(s).row, offset);
          rotate(s, x, packed(s), out, by_head(s), angles, direction);
          expect_rotated(s, x, packed(s), out, by_head(s), angles, direction);
          if (HasFailure()) return;
        }
}

TEST(CudaRotation, InPlaceTurnsTheHeadsAndLeavesWhatLiesBetween) {
  std::mt19937 random(test_seed());
  for (const NumberType type : kBothTypes)
    for (Shape s : kShapes) {
      if (!runs_case()) continue;
      SCOPED_TRACE(name_of(type) + ", half " + std::to_string(s.half));
      const HeadStrides strides = packed(s);
      s.heads *= 2;  // query and key; value stays
      Angles angles(s, random);
      const Array before(type, s.rows * strides.row, random);
      Array x = before;
      rotate(s, x, strides, x, strides, angles, 1.0F);
      expect_rotated(s, before, strides, x, strides, angles, 1.0);
      for (int64_t token = 0; token < s.rows * s.length; ++token)
        for (int64_t i = 2 * s.heads * s.half; i < strides.time; ++i)
          ASSERT_EQ(x.get(token * strides.time + i), before.get(token * strides.time + i));
      if (HasFailure()) return;
    }
}

}  // namespace
}  // namespace fathom
