#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "fathom/runtime/device.h"

namespace fathom {
namespace {

/// For all tests: their expected values come from the same functions.
class SettledVectorMath : public testing::Environment {
  void SetUp() override { settle_vector_math(); }
};
const auto* const environment = testing::AddGlobalTestEnvironment(new SettledVectorMath);

TEST(VectorMath, IsPreciseInAllThreads) {
  const torch::Tensor x = torch::linspace(-20, 20, 200'000, torch::kFloat64), y = x.exp();
  for (int64_t i = 0; i < x.numel(); i += 997) {
    const double expected = std::exp(x[i].item<double>());
    EXPECT_NEAR(y[i].item<double>(), expected, 1e-14 * expected);
  }
}

}  // namespace
}  // namespace fathom
