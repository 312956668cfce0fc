#include <gtest/gtest.h>

#include <random>

#include "arrays.h"

namespace fathom {
namespace {

struct Scalars {
  float lr = 0.01F, step = 3.0F, divisor = 2.5F, skip = 0.0F;
};

AdamStep step_of(const Scalars& s, NumberType type) {
  return {.beta1 = 0.9,
          .beta2 = 0.999,
          .eps = 1e-8F,
          .weight_decay = 0.1F,
          .decoupled_decay = true,
          .stochastic_rounding = false,
          .type = type,
          .lr = &s.lr,
          .step = &s.step,
          .gradient_divisor = &s.divisor,
          .skip = &s.skip};
}

struct Parameter {
  Array w, g, m, v;

  Parameter(NumberType type, int64_t size, int64_t offset, std::mt19937& random)
      : w(type, size, random, -1, 1, offset),
        g(type, size, random, -1, 1, offset),
        m(type, size, random, -0.1, 0.1, offset),
        v(type, size, random, 0.001, 0.1, offset) {}

  AdamTensor tensor(uint64_t key) {
    return {w.data(), g.data(), m.data(), v.data(), w.size(), key};
  }
  bool operator==(const Parameter&) const = default;
};

void run(const AdamStep& step, std::vector<Parameter>& parameters) {
  std::vector<AdamTensor> tensors;
  for (size_t i = 0; i < parameters.size(); ++i) tensors.push_back(parameters[i].tensor(i));
  fathom_cuda_row_kernels()->adam(step, tensors.data(), static_cast<int64_t>(tensors.size()),
                                  nullptr);
}

struct Update {
  double w, m, v;
  double w_magnitude, m_magnitude, v_magnitude;  // of what is added up to them
};

Update expected_update(const AdamStep& s, const Parameter& p, int64_t i) {
  double w = p.w.get(i), g = p.g.get(i) / *s.gradient_divisor, g_magnitude = std::abs(g);
  if (s.decoupled_decay) {
    w *= 1.0 - double{*s.lr} * s.weight_decay;
  } else {
    g += s.weight_decay * w;
    g_magnitude += std::abs(s.weight_decay * w);
  }
  const double m = s.beta1 * p.m.get(i) + (1.0 - s.beta1) * g;
  const double v = s.beta2 * p.v.get(i) + (1.0 - s.beta2) * g * g;
  const double m_hat = m / (1.0 - std::pow(s.beta1, *s.step));
  const double v_hat = v / (1.0 - std::pow(s.beta2, *s.step));
  const double m_magnitude = std::abs(s.beta1 * p.m.get(i)) + (1.0 - s.beta1) * g_magnitude;
  const double rate = *s.lr / (std::sqrt(v_hat) + s.eps);
  return {.w = w - rate * m_hat,
          .m = m,
          .v = v,
          .w_magnitude = std::abs(w) + rate * m_magnitude / (1.0 - std::pow(s.beta1, *s.step)),
          .m_magnitude = m_magnitude,
          .v_magnitude = s.beta2 * p.v.get(i) + (1.0 - s.beta2) * g_magnitude * g_magnitude};
}

/// More tensors than one launch takes, of sizes around what a block and a pack take.
std::vector<Parameter> many(NumberType type, std::mt19937& random) {
  std::vector<Parameter> all;
  for (const int64_t size : {1, 7, 8, 8191, 8192, 8193, 20011})
    for (const int64_t offset : {0, 1}) all.emplace_back(type, size, offset, random);
  for (int64_t size = 0; size < 60; ++size) all.emplace_back(type, size, size % 2, random);
  return all;
}

void expect_formula(const AdamStep& step, const std::vector<Parameter>& before,
                    const std::vector<Parameter>& after) {
  for (size_t p = 0; p < before.size(); ++p)
    for (int64_t i = 0; i < before[p].w.size(); ++i) {
      const Update expected = expected_update(step, before[p], i);
      expect_number(after[p].w, i, expected.w, expected.w_magnitude, "parameter");
      expect_number(after[p].m, i, expected.m, expected.m_magnitude, "first moment");
      expect_number(after[p].v, i, expected.v, expected.v_magnitude, "second moment");
    }
}

TEST(CudaAdam, IsTheFormulaForManyTensorsWithBothKindsOfDecay) {
  std::mt19937 random(test_seed());
  for (const NumberType type : kBothTypes)
    for (const bool decoupled : {true, false})
      for (const float step_number : {1.0F, 3.0F, 5000.0F}) {
        if (!runs_case()) continue;
        SCOPED_TRACE(name_of(type) + (decoupled ? ", decoupled" : "") + ", step " +
                     std::to_string(step_number));
        Scalars scalars;
        scalars.step = step_number;
        AdamStep step = step_of(scalars, type);
        step.decoupled_decay = decoupled;
        std::vector<Parameter> parameters = many(type, random);
        const std::vector<Parameter> before = parameters;
        run(step, parameters);
        expect_formula(step, before, parameters);
        if (HasFailure()) return;
      }
}

TEST(CudaAdam, ChangesNothingWhereTheStepIsSkipped) {
  std::mt19937 random(test_seed());
  for (const NumberType type : kBothTypes) {
    Scalars scalars;
    scalars.skip = 1.0F;
    scalars.divisor = NAN;
    std::vector<Parameter> parameters = many(type, random);
    const std::vector<Parameter> before = parameters;
    run(step_of(scalars, type), parameters);
    EXPECT_EQ(parameters, before);
  }
}

constexpr int64_t kMany = 200000;

/// `kMany` elements with the same numbers, so that only the rounding differs.
std::vector<Parameter> equal_elements() {
  std::mt19937 random(test_seed());
  std::vector<Parameter> all(1, Parameter(NumberType::bfloat16, kMany, 0, random));
  for (int64_t i = 0; i < kMany; ++i) {
    all[0].w.set(i, -0.7);
    all[0].g.set(i, 0.3);
    all[0].m.set(i, 0.02);
    all[0].v.set(i, 0.05);
  }
  return all;
}

/// 1 where a number was rounded away from 0, else 0; expects nothing but the two neighbours.
std::vector<double> rounded_up(const Array& array, double expected) {
  int exponent;
  std::frexp(expected, &exponent);
  const double ulp = std::ldexp(1.0, exponent - 8);
  const double below = std::floor(std::abs(expected) / ulp) * ulp;
  std::vector<double> up(array.size());
  for (int64_t i = 0; i < array.size(); ++i) {
    up[i] = (std::abs(array.get(i)) - below) / ulp;
    if (up[i] != 0.0 && up[i] != 1.0) ADD_FAILURE() << array.get(i) << " from " << expected;
  }
  const double odds = (std::abs(expected) - below) / ulp;
  double mean = 0.0;
  for (const double x : up) mean += x / static_cast<double>(up.size());
  // Five standard deviations of the mean, and float32 arithmetic (ulps of 2^-8) before it.
  const double bound = 5 * std::sqrt(odds * (1 - odds) / static_cast<double>(up.size())) + 1e-3;
  EXPECT_NEAR(mean, odds, bound);
  EXPECT_GT(odds * (1 - odds), 0.01) << "choose numbers whose rounding can go both ways";
  return up;
}

/// Pearson's, within five standard deviations of 0 where two sequences are independent.
void expect_independent(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  double mean_a = 0, mean_b = 0, cov = 0, var_a = 0, var_b = 0;
  for (size_t i = 0; i < a.size(); ++i) mean_a += a[i] / n, mean_b += b[i] / n;
  for (size_t i = 0; i < a.size(); ++i) {
    cov += (a[i] - mean_a) * (b[i] - mean_b);
    var_a += (a[i] - mean_a) * (a[i] - mean_a);
    var_b += (b[i] - mean_b) * (b[i] - mean_b);
  }
  EXPECT_LT(std::abs(cov / std::sqrt(var_a * var_b)), 5 / std::sqrt(n));
}

TEST(CudaAdam, StochasticRoundingHasTheOddsOfTheDistanceForParameterAndBothMoments) {
  const Scalars scalars;
  AdamStep step = step_of(scalars, NumberType::bfloat16);
  step.stochastic_rounding = true;
  std::vector<Parameter> parameters = equal_elements();
  const Update expected = expected_update(step, parameters[0], 0);
  run(step, parameters);
  const std::vector<double> w = rounded_up(parameters[0].w, expected.w);
  const std::vector<double> m = rounded_up(parameters[0].m, expected.m);
  const std::vector<double> v = rounded_up(parameters[0].v, expected.v);
  expect_independent(w, m);
  expect_independent(w, v);
  expect_independent(m, v);
  expect_independent(std::vector(w.begin() + 1, w.end()), std::vector(w.begin(), w.end() - 1));
}

TEST(CudaAdam, StochasticRoundingIsTheSameForTheSameKeyAndStepAlone) {
  std::mt19937 random(test_seed());
  Scalars scalars;
  AdamStep step = step_of(scalars, NumberType::bfloat16);
  step.stochastic_rounding = true;
  const std::vector<Parameter> before = equal_elements();
  const auto result = [&](uint64_t key, float step_number) {
    scalars.step = step_number;
    std::vector<Parameter> parameters = before;
    const AdamTensor tensor = parameters[0].tensor(key);
    fathom_cuda_row_kernels()->adam(step, &tensor, 1, nullptr);
    return parameters[0];
  };
  const Parameter first = result(5, 1000000.0F);
  EXPECT_TRUE(result(5, 1000000.0F) == first);
  // So far from the start, both steps compute the same numbers.
  const Parameter other_step = result(5, 1000001.0F), other_key = result(6, 1000000.0F);
  EXPECT_FALSE(other_step.w == first.w || other_step.m == first.m || other_step.v == first.v);
  EXPECT_FALSE(other_key.w == first.w || other_key.m == first.m || other_key.v == first.v);
}

}  // namespace
}  // namespace fathom
