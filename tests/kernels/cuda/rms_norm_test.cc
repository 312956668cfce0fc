#include <gtest/gtest.h>

#include <random>
#include <tuple>

#include "arrays.h"

namespace fathom {
namespace {

struct Case {
  int64_t rows, dim;
  NumberType type, weight_type;
  bool with_other;  // the update, or the direct gradient
  int64_t offset = 0;

  std::string text() const {
    return std::to_string(rows) + " x " + std::to_string(dim) + " " + name_of(type) + ", weight " +
           name_of(weight_type) + (with_other ? ", two inputs" : "") + ", offset " +
           std::to_string(offset);
  }
};

constexpr float kEps = 1e-5F, kScale = 0.4F;

/// Rows of each number of threads, in packs and number by number, held and beyond what is held.
std::vector<Case> cases() {
  const std::pair<int64_t, int64_t> shapes[] = {{3, 1},    {5, 33},   {2, 64},   {11, 512},
                                                {9, 768},  {3, 771},  {2, 2048}, {5, 4096},
                                                {2, 4104}, {2, 4999}, {3, 8704}};
  std::vector<Case> all;
  for (const auto& [rows, dim] : shapes)
    for (const auto& [type, weight_type] : {std::pair{NumberType::float32, NumberType::float32},
                                            {NumberType::bfloat16, NumberType::float32},
                                            {NumberType::bfloat16, NumberType::bfloat16}})
      for (const bool with_other : {false, true})
        all.push_back({rows, dim, type, weight_type, with_other});
  all.push_back({3, 768, NumberType::bfloat16, NumberType::float32, true, 1});
  all.push_back({3, 768, NumberType::float32, NumberType::float32, true, 1});
  return all;
}

void check_forward(const Case& c, std::mt19937& random) {
  const int64_t size = c.rows * c.dim;
  Array x(c.type, size, random, -3, 3, c.offset), update(c.type, size, random, -3, 3, c.offset);
  Array weight(c.weight_type, c.dim, random, 0.5, 1.5, c.offset);
  Array sum(c.type, size, c.offset), y(c.type, size, c.offset);
  Array inverse(NumberType::float32, c.rows);
  fathom_cuda_row_kernels()->rms_norm_forward({{c.rows, c.dim, c.type, c.weight_type, kEps, kScale},
                                               x.data(),
                                               c.with_other ? update.data() : nullptr,
                                               weight.data(),
                                               c.with_other ? sum.data() : nullptr,
                                               y.data(),
                                               inverse.floats()},
                                              nullptr);
  for (int64_t row = 0; row < c.rows; ++row) {
    double squares = 0.0;
    for (int64_t i = row * c.dim; i < (row + 1) * c.dim; ++i) {
      if (c.with_other)
        expect_number(sum, i, x.get(i) + update.get(i),
                      std::abs(x.get(i)) + std::abs(update.get(i)), "sum");
      const double normed = c.with_other ? sum.get(i) : x.get(i);
      squares += normed * normed;
    }
    const double expected = 1.0 / std::sqrt(squares / static_cast<double>(c.dim) + kEps);
    const double of_sum = roundings_of_sum(c.dim);
    expect_number(inverse, row, expected, expected, "inverse_rms", of_sum * expected);
    for (int64_t d = 0, i = row * c.dim; d < c.dim; ++d, ++i) {
      const double result =
          (c.with_other ? sum.get(i) : x.get(i)) * expected * weight.get(d) * kScale;
      expect_number(y, i, result, std::abs(result), "y", of_sum * std::abs(result));
    }
  }
}

TEST(CudaRmsNorm, ForwardIsTheFormulaForAnyShapeTypeAndAlignment) {
  std::mt19937 random(test_seed());
  for (const Case& c : cases()) {
    if (!runs_case()) continue;
    SCOPED_TRACE(c.text());
    check_forward(c, random);
    if (HasFailure()) return;
  }
}

void check_backward(const Case& c, std::mt19937& random) {
  const RowKernels& kernels = *fathom_cuda_row_kernels();
  const int64_t size = c.rows * c.dim, parts = kernels.rms_norm_parts(c.rows, c.dim);
  Array sum(c.type, size, random, -3, 3, c.offset), dy(c.type, size, random, -1, 1, c.offset);
  Array direct(c.type, size, random, -1, 1, c.offset);
  Array weight(c.weight_type, c.dim, random, 0.5, 1.5, c.offset);
  Array inverse(NumberType::float32, c.rows, random, 0.5, 2.0);
  Array dx(c.type, size, c.offset);
  Array dw(NumberType::float32, parts * c.dim, random);  // what was there is overwritten
  kernels.rms_norm_backward({{c.rows, c.dim, c.type, c.weight_type, kEps, kScale},
                             sum.data(),
                             weight.data(),
                             inverse.floats(),
                             dy.data(),
                             c.with_other ? direct.data() : nullptr,
                             dx.data(),
                             dw.floats(),
                             parts},
                            nullptr);
  std::vector<double> expected_dw(c.dim), magnitude_dw(c.dim);
  for (int64_t row = 0; row < c.rows; ++row) {
    double mean = 0.0, magnitude = 0.0;
    for (int64_t d = 0, i = row * c.dim; d < c.dim; ++d, ++i) {
      const double term =
          dy.get(i) * weight.get(d) * kScale * sum.get(i) / static_cast<double>(c.dim);
      mean += term;
      magnitude += std::abs(term);
    }
    const double r = inverse.get(row);
    for (int64_t d = 0, i = row * c.dim; d < c.dim; ++d, ++i) {
      const double own = r * dy.get(i) * weight.get(d) * kScale, of_mean = sum.get(i) * r * r * r;
      const double straight = c.with_other ? direct.get(i) : 0.0;
      const double summed = std::abs(of_mean) * magnitude;
      expect_number(dx, i, own - of_mean * mean + straight,
                    std::abs(own) + summed + std::abs(straight), "dx",
                    roundings_of_sum(c.dim) * summed);
      const double term = dy.get(i) * sum.get(i) * r * kScale;
      expected_dw[d] += term;
      magnitude_dw[d] += std::abs(term);
    }
  }
  Array total(NumberType::float32, c.dim);
  for (int64_t d = 0; d < c.dim; ++d) {
    double of_parts = 0.0;
    for (int64_t part = 0; part < parts; ++part) of_parts += dw.get(part * c.dim + d);
    total.set(d, of_parts);
    expect_number(total, d, expected_dw[d], magnitude_dw[d], "dw",
                  roundings_of_sum(c.rows) * magnitude_dw[d]);
  }
}

TEST(CudaRmsNorm, BackwardIsTheGradientForAnyShapeTypeAndAlignment) {
  std::mt19937 random(test_seed());
  std::vector<Case> all = cases();
  // Parts with more rows than a block works on side by side.
  all.push_back({4001, 40, NumberType::float32, NumberType::float32, true});
  all.push_back({1203, 520, NumberType::bfloat16, NumberType::float32, true});
  all.push_back({1203, 520, NumberType::float32, NumberType::float32, false});
  for (const Case& c : all) {
    if (!runs_case()) continue;
    SCOPED_TRACE(c.text());
    check_backward(c, random);
    if (HasFailure()) return;
  }
}

TEST(CudaRmsNorm, PartsOfTheGradientOfWeightAreFewHoweverManyRows) {
  const auto parts = fathom_cuda_row_kernels()->rms_norm_parts;
  EXPECT_EQ(parts(0, 768), 0);
  EXPECT_EQ(parts(1, 768), 1);
  for (const int64_t rows : {100, 5000, 1 << 20}) {
    EXPECT_LE(parts(rows, 768), std::min<int64_t>(rows, 512));
    EXPECT_GE(parts(rows, 768), 1);
  }
  EXPECT_LE(parts(int64_t{1} << 40, 4096), 512);
}

TEST(CudaRmsNorm, ANumberThatIsNaNReachesItsRowAndNoOther) {
  Array x(NumberType::float32, 3 * 768), weight(NumberType::float32, 768);
  Array y(NumberType::float32, 3 * 768), inverse(NumberType::float32, 3);
  for (int64_t i = 0; i < 3 * 768; ++i) x.set(i, i == 1000 ? NAN : 1.0);
  fathom_cuda_row_kernels()->rms_norm_forward(
      {{3, 768, NumberType::float32, NumberType::float32, kEps, kScale},
       x.data(),
       nullptr,
       weight.data(),
       nullptr,
       y.data(),
       inverse.floats()},
      nullptr);
  for (int64_t i = 0; i < 3 * 768; ++i) EXPECT_EQ(std::isnan(y.get(i)), i / 768 == 1) << i;
}

}  // namespace
}  // namespace fathom
