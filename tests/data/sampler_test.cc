#include "fathom/data/internal/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace fathom {
namespace {

std::vector<uint64_t> order(uint64_t seed, uint64_t epoch, uint64_t n) {
  std::vector<uint64_t> rows(n);
  for (uint64_t i = 0; i < n; ++i) rows[i] = permuted(seed, epoch, i, n);
  return rows;
}

TEST(Sampler, VisitsEachRowOnceForEveryNumberOfRows) {
  for (uint64_t n = 1; n <= 600; ++n) {
    for (const uint64_t seed : {uint64_t{0}, uint64_t{32}, UINT64_MAX}) {
      std::vector<bool> seen(n, false);
      for (const uint64_t row : order(seed, n % 3, n)) {
        ASSERT_LT(row, n);
        ASSERT_FALSE(seen[row]) << "n " << n << " row " << row;
        seen[row] = true;
      }
    }
  }
  for (const uint64_t n : {uint64_t{65535}, uint64_t{65536}, uint64_t{65537}, uint64_t{1000003}}) {
    std::vector<bool> seen(n, false);
    for (const uint64_t row : order(1, 0, n)) seen.at(row) = true;
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), static_cast<ptrdiff_t>(n));
  }
}

TEST(Sampler, SeedAndEpochEachChangeTheOrder) {
  EXPECT_EQ(order(1, 2, 100), order(1, 2, 100));
  EXPECT_NE(order(1, 2, 100), order(1, 3, 100));
  EXPECT_NE(order(1, 2, 100), order(2, 2, 100));
  EXPECT_NE(order(1, 2, 100), order(2, 1, 100));
}

TEST(Sampler, WorksForHugeNumbersOfRows) {
  const uint64_t n = uint64_t{1} << 62;
  EXPECT_LT(permuted(5, 6, n - 1, n), n);
  EXPECT_NE(permuted(5, 6, n - 1, n), permuted(5, 6, n - 2, n));
  EXPECT_THROW(permuted(1, 1, 5, 5), std::invalid_argument);
  EXPECT_THROW(permuted(1, 1, 0, 0), std::invalid_argument);
}

// A random permutation has one fixed point on average, with variance one.
TEST(Sampler, HasAsManyFixedPointsAsARandomPermutation) {
  constexpr int kTrials = 4000;
  double sum = 0;
  double sum_of_squares = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    int fixed = 0;
    for (uint64_t i = 0; i < 100; ++i)
      fixed += permuted(static_cast<uint64_t>(trial), 0, i, 100) == i ? 1 : 0;
    sum += fixed;
    sum_of_squares += fixed * fixed;
  }
  const double mean = sum / kTrials;
  EXPECT_NEAR(mean, 1.0, 5 / std::sqrt(kTrials));  // five standard deviations
  EXPECT_NEAR(sum_of_squares / kTrials - mean * mean, 1.0, 0.15);
}

// Neighbours: the correlation of a random permutation is within a few 1/sqrt(n) of zero.
TEST(Sampler, NeighboursAreNotCorrelated) {
  constexpr uint64_t kRows = 100000;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const std::vector<uint64_t> rows = order(seed, 0, kRows);
    const double mean = (kRows - 1) / 2.0;
    const double variance = (static_cast<double>(kRows) * kRows - 1) / 12.0;
    for (const uint64_t lag : {1, 2, 256}) {
      double sum = 0;
      for (uint64_t i = 0; i + lag < kRows; ++i)
        sum += (static_cast<double>(rows[i]) - mean) * (static_cast<double>(rows[i + lag]) - mean);
      EXPECT_LT(std::abs(sum / kRows / variance), 5 / std::sqrt(kRows)) << "lag " << lag;
    }
  }
}

// Each of the 6 orders of 3 rows and each place is equally likely (chi-square, 0.1 % level).
TEST(Sampler, OrdersOfThreeRowsAreEquallyLikely) {
  constexpr int kTrials = 60000;
  std::vector<int> seen(27, 0);
  for (int trial = 0; trial < kTrials; ++trial) {
    const std::vector<uint64_t> rows = order(9, static_cast<uint64_t>(trial), 3);
    ++seen[rows[0] * 9 + rows[1] * 3 + rows[2]];
  }
  double chi_square = 0;
  int orders = 0;
  for (const int count : seen) {
    if (count == 0) continue;
    ++orders;
    chi_square += std::pow(count - kTrials / 6.0, 2) / (kTrials / 6.0);
  }
  EXPECT_EQ(orders, 6);
  EXPECT_LT(chi_square, 20.5);  // 5 degrees of freedom
}

}  // namespace
}  // namespace fathom
