#include "fathom/base/number.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/test_seed.h"

namespace fathom {
namespace {

TEST(ParseInteger, ReadsPlainDecimalsUpToBothEndsOf64Bits) {
  std::string advice;
  EXPECT_EQ(parse_integer("0", advice), 0);
  EXPECT_EQ(parse_integer("-7", advice), -7);
  EXPECT_EQ(parse_integer("9223372036854775807", advice), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(parse_integer("-9223372036854775808", advice), std::numeric_limits<int64_t>::min());
}

TEST(ParseInteger, RefusesEverythingElseAndSaysWhatToWrite) {
  const std::pair<const char*, const char*> cases[] = {
      {"010", "write 10"},
      {"-010", "write -10"},
      {"+5", "write 5"},
      {"1_000", "write 1000"},
      {"1e3", "write 1000"},
      {"2.2e9", "write 2200000000"},
      {"1.0", "write 1"},
      {"1.9", "write a whole number, such as 2"},
      {"9223372036854775808", "it doesn't fit in 64 bits; write a smaller number"},
      {"1e19", "it doesn't fit in 64 bits; write a smaller number"},
      {"nan", "write a whole number in decimal digits"},
      {"inf", "write a whole number in decimal digits"},
      {"0x10", "write a whole number in decimal digits"},
      {"12 ", "write a whole number in decimal digits"},
      {" 12", "write a whole number in decimal digits"},
      {"12k", "write a whole number in decimal digits"},
      {"", "write a whole number in decimal digits"},
      {"-", "write a whole number in decimal digits"},
  };
  for (const auto& [text, expected] : cases) {
    std::string advice;
    EXPECT_FALSE(parse_integer(text, advice)) << text;
    EXPECT_EQ(advice, expected) << text;
  }
}

TEST(ParseNumber, ReadsDecimalsWithAndWithoutAnExponent) {
  std::string advice;
  EXPECT_EQ(parse_number("0.001", advice), 0.001);
  EXPECT_EQ(parse_number("1e-3", advice), 0.001);
  EXPECT_EQ(parse_number("-2", advice), -2.0);
  EXPECT_EQ(parse_number("0", advice), 0.0);
}

TEST(ParseNumber, RefusesEverythingElseAndSaysWhatToWrite) {
  const std::pair<const char*, const char*> cases[] = {
      {"nan", "write a finite number"},
      {"inf", "write a finite number"},
      {"-inf", "write a finite number"},
      {".nan", "write a number, such as 0.5 or 1.0e-3"},
      {"1e400", "its magnitude is beyond a 64-bit float"},
      {"1e-400", "its magnitude is beyond a 64-bit float"},
      {"010", "write 10"},
      {"00.5", "write 0.5"},
      {"+0.5", "write 0.5"},
      {"1_000.5", "write 1000.5"},
      {"0.5x", "write a number, such as 0.5 or 1.0e-3"},
      {"1,5", "write a number, such as 0.5 or 1.0e-3"},
      {"0x10", "write a number, such as 0.5 or 1.0e-3"},
  };
  for (const auto& [text, expected] : cases) {
    std::string advice;
    EXPECT_FALSE(parse_number(text, advice)) << text;
    EXPECT_EQ(advice, expected) << text;
  }
}

TEST(FormatNumber, IsTheShortestTextThatEveryYamlReaderTakesForANumber) {
  EXPECT_EQ(format_number(0.1), "0.1");
  EXPECT_EQ(format_number(10000), "10000");
  EXPECT_EQ(format_number(1e-8), "1.0e-08");
  EXPECT_EQ(format_number(1.5e300), "1.5e+300");
}

TEST(FormatNumber, ReadsBackExactlyForRandomBitPatterns) {
  std::mt19937_64 random(test_seed());
  for (int i = 0; i < 100000; ++i) {
    const uint64_t bits = random();
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    std::string advice;
    EXPECT_EQ(parse_number(format_number(value), advice), value) << format_number(value);
  }
}

TEST(Number, ALossHasFourDecimalsAndAPerplexityTwo) {
  EXPECT_EQ(loss_text(5.43068123), "5.4307");
  EXPECT_EQ(loss_text(std::nan("")), "nan");
  EXPECT_EQ(perplexity_text(26.7285), "26.73");
  EXPECT_EQ(perplexity_text(1409.789), "1409.79");
  EXPECT_EQ(perplexity_text(123456789.0), "1.235e+08");
  EXPECT_EQ(perplexity_text(std::numeric_limits<double>::infinity()), "inf");
}

}  // namespace
}  // namespace fathom
