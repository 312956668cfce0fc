// One step of Adam against its formula in float64.
#include "fathom/kernels/adam.h"

#include <cmath>

#include "kernels/kernel_fixture.h"

namespace fathom {
namespace {

/// Parameters of several shapes; gradients and moments like theirs.
struct Tensors {
  std::vector<torch::Tensor> w, g, m, v;
};

class AdamTest : public KernelTest {
 protected:
  Tensors random_tensors() const {
    Tensors t;
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{7, 13}, {1}, {40'000}, {3}}) {
      t.w.push_back(random(shape));
      t.g.push_back(random(shape));
      t.m.push_back(random(shape));
      t.v.push_back(random(shape).square().to(dtype()).to(torch::kFloat64));
    }
    return t;
  }

  AdamTensors given_all(const Tensors& t) const {
    AdamTensors all;
    for (size_t i = 0; i < t.w.size(); ++i) {
      all.parameters.push_back(given(t.w[i]).clone());
      all.gradients.push_back(given(t.g[i]).clone());
      all.first_moments.push_back(given(t.m[i]).clone());
      all.second_moments.push_back(given(t.v[i]).clone());
      all.keys.push_back(i);
    }
    return all;
  }

  torch::Tensor scalar(double value) const {
    return torch::full({}, value, torch::TensorOptions(torch::kFloat32).device(device()));
  }

  void step(const AdamOptions& options, const AdamTensors& all, double skip = 0.0) const {
    adam_step(options, all, scalar(kLr), scalar(kStep), scalar(kDivisor), scalar(skip));
  }

  static constexpr double kLr = 0.0078125, kStep = 3, kDivisor = 2.5;  // float32 holds them
};

TEST_P(AdamTest, MatchesTheFormula) {
  for (const bool decoupled : {false, true}) {
    const AdamOptions o{.weight_decay = 0.1, .decoupled_decay = decoupled};
    const Tensors t = random_tensors();
    const AdamTensors all = given_all(t);
    step(o, all);
    for (size_t i = 0; i < t.w.size(); ++i) {
      const Expected exact = expected([&](const Kept& kept) -> std::vector<torch::Tensor> {
        const torch::Tensor w = kept(t.w[i]);
        const torch::Tensor g =
            kept(kept(t.g[i]) / kDivisor) + (decoupled ? 0.0 : o.weight_decay) * w;
        const torch::Tensor m = kept(o.beta1 * kept(t.m[i]) + kept((1 - o.beta1) * kept(g)));
        const torch::Tensor v =
            kept(o.beta2 * kept(t.v[i]) + kept((1 - o.beta2) * kept(g).square()));
        const torch::Tensor shrunk = kept(w * (decoupled ? 1 - kLr * o.weight_decay : 1.0));
        const torch::Tensor mean = m / (1 - std::pow(o.beta1, kStep));
        const torch::Tensor root = kept((v / (1 - std::pow(o.beta2, kStep))).sqrt()) + o.eps;
        return {kept(shrunk - kept(kLr * mean / root)), m, v};
      });
      expect_all_close({"w", "m", "v"},
                       {all.parameters[i], all.first_moments[i], all.second_moments[i]}, exact,
                       /*terms=*/1);
    }
  }
}

TEST_P(AdamTest, LeavesEverythingWhenItIsToSkip) {
  const Tensors t = random_tensors();
  const AdamTensors all = given_all(t);
  step({}, all, /*skip=*/1.0);
  for (size_t i = 0; i < t.w.size(); ++i) {
    EXPECT_TRUE(torch::equal(all.parameters[i], given(t.w[i])));
    EXPECT_TRUE(torch::equal(all.first_moments[i], given(t.m[i])));
    EXPECT_TRUE(torch::equal(all.second_moments[i], given(t.v[i])));
  }
}

TEST_P(AdamTest, RoundsBf16StochasticallyWithoutBiasAndTheSameWayEachTime) {
  if (dtype() != torch::kBFloat16 || version().kernels == Kernels::reference) {
    EXPECT_FALSE(rounds_stochastically(torch::empty({1}, options())));
    return;
  }
  // Neighbours of 1.5 are 2^-7 apart and the step takes 0.001 from it: rounded to the nearest, no
  // weight would move. The second moment becomes 0.999 + 0.001 * 0.25, between 1 and 1 - 2^-8.
  constexpr int64_t kNumbers = 100'000;
  constexpr double kRate = 0.0625;
  const AdamOptions o{.stochastic_rounding = true};
  const auto updated = [&](uint64_t key) {
    const auto full = [&](double value) { return torch::full({kNumbers}, value, options()); };
    AdamTensors all{{full(1.5)}, {full(0.5)}, {full(0.0)}, {full(1.0)}, {key}};
    adam_step(o, all, scalar(kRate), scalar(1), scalar(1), scalar(0));
    return std::vector<torch::Tensor>{all.parameters[0].cpu().to(torch::kFloat64),
                                      all.second_moments[0].cpu().to(torch::kFloat64)};
  };
  const std::vector<torch::Tensor> first = updated(1);
  EXPECT_TRUE(torch::equal(first[0], updated(1)[0]));
  EXPECT_FALSE(torch::equal(first[0], updated(2)[0]));
  const double v = 0.999 + 0.001 * 0.25;
  const double w = 1.5 - kRate * 0.5 / std::sqrt(v / 0.001);
  // A rounding is one of two neighbours: its standard deviation is at most half their distance.
  const double deviations = 5 * 0.5 * std::ldexp(1.0, -7) / std::sqrt(kNumbers);
  EXPECT_NEAR(first[0].mean().item<double>(), w, deviations);
  EXPECT_NEAR(first[1].mean().item<double>(), v, deviations);
}

INSTANTIATE_TEST_SUITE_P(Kernels, AdamTest, every_version(), name_of_version);

TEST(Adam, RefusesToRoundWhatIsNotBf16) {
  const torch::Tensor x = torch::ones({3});
  const AdamTensors all{{x}, {x}, {x}, {x}, {0}};
  EXPECT_THROW(adam_step({.stochastic_rounding = true}, all, x[0], x[0], x[0], x[0]),
               std::invalid_argument);
}

}  // namespace
}  // namespace fathom
