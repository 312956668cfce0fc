// Arrays of float32 or bf16 numbers that tests read and write as double.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/rounding.h"
#include "base/test_seed.h"
#include "kernels/row_kernels.h"

extern "C" const fathom::RowKernels* fathom_cuda_row_kernels();

namespace fathom {

constexpr NumberType kBothTypes[] = {NumberType::float32, NumberType::bfloat16};

inline std::string name_of(NumberType type) {
  return type == NumberType::float32 ? "float32" : "bfloat16";
}

/// The largest relative error of rounding to a type.
inline double half_ulp(NumberType type) {
  return unit_roundoff(type == NumberType::float32 ? 24 : 8);
}

/// The nearest number of a type, ties to even.
inline double nearest(NumberType type, double x) {
  if (type == NumberType::float32) return static_cast<float>(x);
  if (!std::isfinite(x) || x == 0.0) return x;
  int exponent;
  const double mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8);
}

class Array {
 public:
  /// @param offset numbers by which the first is off an alignment to 16 bytes
  Array(NumberType type, int64_t size, int64_t offset = 0)
      : type_(type), offset_(offset), size_(size), bytes_(width() * (size + offset)) {}

  /// Uniform in [low, high).
  Array(NumberType type, int64_t size, std::mt19937& random, double low = -1.0, double high = 1.0,
        int64_t offset = 0)
      : Array(type, size, offset) {
    std::uniform_real_distribution<double> uniform(low, high);
    for (int64_t i = 0; i < size; ++i) set(i, uniform(random));
  }

  double get(int64_t i) const {
    uint32_t bits = 0;  // a bf16 is the upper half of a float
    const size_t at = type_ == NumberType::float32 ? 0 : 2;
    std::memcpy(reinterpret_cast<std::byte*>(&bits) + at, place(i), width());
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    return x;
  }

  void set(int64_t i, double value) {
    const auto x = static_cast<float>(nearest(type_, value));
    const size_t at = type_ == NumberType::float32 ? 0 : 2;
    std::memcpy(const_cast<std::byte*>(place(i)), reinterpret_cast<const std::byte*>(&x) + at,
                width());
  }

  void* data() { return bytes_.data() + width() * offset_; }
  float* floats() { return static_cast<float*>(data()); }
  int64_t size() const { return size_; }
  NumberType type() const { return type_; }
  bool operator==(const Array& other) const = default;

 private:
  size_t width() const { return type_ == NumberType::float32 ? 4 : 2; }
  const std::byte* place(int64_t i) const { return bytes_.data() + width() * (offset_ + i); }

  NumberType type_;
  int64_t offset_, size_;
  std::vector<std::byte> bytes_;
};

/// Roundings of float32 in a formula without its sums. exp, sqrt and division count as some.
constexpr double kRoundings = 16;

/// Whether a number is `expected`, rounded to its type, but for float32 arithmetic before.
/// @param magnitude of what was added up to it, each taken as positive
/// @param of_sums roundings_of_sum() of the longer sums on the way, times their magnitudes
inline bool is_number(double number, NumberType type, double expected, double magnitude,
                      double of_sums) {
  const double arithmetic = (kRoundings * magnitude + of_sums) * unit_roundoff(24);
  const double underflow = 100 * double{std::numeric_limits<float>::min()};
  return std::abs(number - expected) <=
         half_ulp(type) * std::abs(expected) + arithmetic + underflow;
}

/// Expects it, and that a number which is off by a twentieth wouldn't be taken for it.
inline void expect_number(const Array& array, int64_t i, double expected, double magnitude,
                          const std::string& what, double of_sums = 0.0) {
  if (!is_number(array.get(i), array.type(), expected, magnitude, of_sums))
    ADD_FAILURE() << what << "[" << i << "] is " << array.get(i) << ", not " << expected;
  if (std::abs(expected) > std::max(magnitude / 100, 1e-30) &&
      is_number(expected * 1.05, array.type(), expected, magnitude, of_sums))
    ADD_FAILURE() << what << "[" << i << "]: a twentieth more passes for " << expected;
}

}  // namespace fathom
