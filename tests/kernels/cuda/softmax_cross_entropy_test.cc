#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <stdexcept>

#include "arrays.h"

namespace fathom {
namespace {

constexpr int64_t kRows = 5;
constexpr float kScale = 0.25F;

struct Rows {
  int64_t vocabulary, stride;
  Array logits;
  std::vector<int64_t> target;
  float z_loss = 0.0F;
  Array loss{NumberType::float32, kRows};

  Rows(NumberType type, int64_t vocabulary_in, int64_t padding, int64_t offset,
       std::mt19937& random)
      : vocabulary(vocabulary_in),
        stride(vocabulary_in + padding),
        logits(type, kRows * (vocabulary_in + padding), random, -6, 6, offset),
        target(kRows) {
    for (int64_t row = 0; row < kRows; ++row)
      target[row] = row == 2 ? -100 : static_cast<int64_t>(random() % vocabulary);
  }

  void run() {
    for (int64_t row = 0; row < kRows; ++row) loss.set(row, 77.0);
    fathom_cuda_row_kernels()->softmax_cross_entropy(
        {kRows, vocabulary, stride, logits.type(), logits.data(), target.data(), loss.floats(),
         kScale, z_loss},
        nullptr);
  }
};

/// Expects what `after` holds: loss, gradient, and the numbers between rows as they were.
void expect_formula(const Rows& before, const Rows& after) {
  for (int64_t row = 0; row < kRows; ++row) {
    const int64_t begin = row * before.stride, target = before.target[row];
    const bool counts = target >= 0;
    double largest = -INFINITY, sum = 0.0;
    for (int64_t i = 0; i < before.vocabulary; ++i)
      largest = std::max(largest, before.logits.get(begin + i));
    for (int64_t i = 0; i < before.vocabulary; ++i)
      sum += std::exp(before.logits.get(begin + i) - largest);
    const double log_sum = largest + std::log(sum), slope = 1 + 2 * before.z_loss * log_sum;
    const double of_target = counts ? before.logits.get(begin + target) : 0.0;
    const double loss = log_sum - of_target + before.z_loss * log_sum * log_sum;
    // A relative error of the sum is an absolute one of its logarithm, and a relative one of p.
    const double of_sum = counts ? roundings_of_sum(before.vocabulary) * kScale * slope : 0.0;
    expect_number(after.loss, row, counts ? loss * kScale : 0.0,
                  counts ? (std::abs(loss) + std::abs(log_sum) * slope) * kScale : 0.0, "loss",
                  of_sum);
    for (int64_t i = 0; i < before.vocabulary; ++i) {
      const double p = std::exp(before.logits.get(begin + i) - log_sum);
      const double gradient = (p * slope - (i == target ? 1 : 0)) * kScale;
      // So is what rounding changes in the exponent.
      const double exponent =
          p > 0 ? 1 + std::abs(before.logits.get(begin + i)) + std::abs(log_sum) : 0;
      const double magnitude = (p * slope * exponent + (i == target ? 1 : 0)) * kScale;
      expect_number(after.logits, begin + i, counts ? gradient : 0.0, counts ? magnitude : 0.0,
                    "gradient", counts ? p * of_sum : 0.0);
    }
    for (int64_t i = before.vocabulary; i < before.stride; ++i)
      ASSERT_EQ(after.logits.get(begin + i), before.logits.get(begin + i)) << "between rows";
  }
}

TEST(CudaSoftmaxCrossEntropy, IsTheFormulaForAnyVocabularyStrideTypeAndAlignment) {
  std::mt19937 random(test_seed());
  for (const NumberType type : kBothTypes)
    for (const int64_t vocabulary : {1, 3, 7, 33, 771, 4096, 9001, 32000})
      for (const int64_t padding : {0, 3})
        for (const int64_t offset : {0, 1})
          for (const float z_loss : {0.0F, 0.01F}) {
            if (!runs_case()) continue;
            SCOPED_TRACE(name_of(type) + " " + std::to_string(vocabulary) + " + " +
                         std::to_string(padding) + ", offset " + std::to_string(offset) +
                         ", z_loss " + std::to_string(z_loss));
            Rows rows(type, vocabulary, padding, offset, random);
            rows.z_loss = z_loss;
            const Rows before = rows;
            rows.run();
            expect_formula(before, rows);
            if (HasFailure()) return;
          }
}

TEST(CudaSoftmaxCrossEntropy, LogitsOf300AndMinusInfinityAreNumbersLikeOthers) {
  std::mt19937 random(test_seed());
  for (const NumberType type : kBothTypes)
    for (const double extreme : {300.0, -300.0, -std::numeric_limits<double>::infinity()}) {
      Rows rows(type, 5000, 0, 0, random);
      for (int64_t i = 0; i < 5000; ++i) {
        rows.logits.set(i, i == 4321 ? extreme : -300.0);
        rows.logits.set(rows.stride + i, extreme);
        if (i % 3 > 0) rows.logits.set(3 * rows.stride + i, extreme);
      }
      if (std::isinf(extreme)) {  // no number at all: neither loss nor gradient
        rows.target[0] = 17;
        rows.target[1] = -1;
      }
      rows.target[3] = 3;
      const Rows before = rows;
      rows.run();
      expect_formula(before, rows);
      if (HasFailure()) return;
    }
}

TEST(CudaSoftmaxCrossEntropy, ANaNReachesTheLossOfItsRowWhereverItIs) {
  std::mt19937 random(test_seed());
  for (const NumberType type : kBothTypes)
    for (const int64_t at : {0, 1, 8, 4000, 8999, 9000}) {
      if (!runs_case()) continue;
      Rows rows(type, 9001, 0, 1, random);
      rows.logits.set(rows.stride + at, NAN);
      rows.run();
      for (int64_t row = 0; row < kRows; ++row)
        EXPECT_EQ(std::isnan(rows.loss.get(row)), row == 1) << at;
    }
}

TEST(CudaSoftmaxCrossEntropy, AClassThatThereIsNotMakesTheLossOfItsRowNaN) {
  std::mt19937 random(test_seed());
  Rows rows(NumberType::float32, 100, 28, 0, random);
  rows.target[1] = 100;
  rows.run();
  for (int64_t row = 0; row < kRows; ++row) EXPECT_EQ(std::isnan(rows.loss.get(row)), row == 1);
}

TEST(CudaSoftmaxCrossEntropy, MoreRowsThanAGridHasBlocksAreAnError) {
  SoftmaxCrossEntropy p = {};
  p.rows = int64_t{1} << 40;
  EXPECT_THROW(fathom_cuda_row_kernels()->softmax_cross_entropy(p, nullptr), std::runtime_error);
}

}  // namespace
}  // namespace fathom
