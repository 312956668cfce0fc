#include "kernels/stochastic_rounding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace fathom {
namespace {

uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

float from_bf16(uint16_t upper) {
  const uint32_t bits = static_cast<uint32_t>(upper) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

TEST(StochasticRounding, GoesUpForAsManyRandomNumbersAsTheDistanceSays) {
  // 1 and 1 + 2^-7 are neighbours, 2^16 floats apart.
  for (const float sign : {1.0F, -1.0F})
    for (const uint32_t distance : {1U, 1000U, 0x8000U, 0xffffU}) {
      uint32_t ups = 0;
      for (uint32_t random = 0; random < 0x10000U; ++random) {
        const float x = from_bf16(round_stochastically(bits_of(sign) + distance, random));
        ASSERT_TRUE(x == sign || x == sign * (1.0F + 0.0078125F));
        ups += x != sign ? 1 : 0;
      }
      EXPECT_EQ(ups, distance);
    }
}

TEST(StochasticRounding, KeepsWhatABf16HoldsAndInfinitiesAndNaN) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const uint32_t random : {0U, 0x8000U, 0xffffU}) {
    for (const float x : {0.0F, -0.0F, 1.0F, -1.5F, kInfinity, -kInfinity})
      EXPECT_EQ(round_stochastically(bits_of(x), random), bits_of(x) >> 16) << x;
    for (const uint32_t nan : {0x7f800001U, 0x7fffffffU, 0xff800001U, 0xffffffffU})
      EXPECT_TRUE(std::isnan(from_bf16(round_stochastically(nan, random)))) << nan;
  }
}

TEST(StochasticRounding, EveryBitOfEveryResultIsSetHalfOfTheTimeAndChangesWithEachInput) {
  constexpr uint32_t kCount = 1 << 16;
  const double bound = 5 * std::sqrt(0.25 / kCount);  // five standard deviations of a mean of coins
  const auto bit_of = [](const RoundingBits& bits, int bit) {
    return (bit < 16   ? bits.parameter
            : bit < 32 ? bits.first_moment
                       : bits.second_moment) >>
               (bit % 16) &
           1U;
  };
  const RoundingSeed seed = rounding_seed(1, 1);
  const RoundingSeed other_step = rounding_seed(1, 2), other_key = rounding_seed(2, 1);
  for (int bit = 0; bit < 48; ++bit) {
    double set = 0, with_next = 0, with_step = 0, with_key = 0;
    for (uint32_t i = 0; i < kCount; ++i) {
      const uint32_t mine = bit_of(rounding_bits(seed, i), bit);
      set += mine;
      with_next += mine ^ bit_of(rounding_bits(seed, i + 1), bit);
      with_step += mine ^ bit_of(rounding_bits(other_step, i), bit);
      with_key += mine ^ bit_of(rounding_bits(other_key, i), bit);
    }
    for (const double count : {set, with_next, with_step, with_key})
      EXPECT_NEAR(count / kCount, 0.5, bound) << "bit " << bit;
  }
}

}  // namespace
}  // namespace fathom
