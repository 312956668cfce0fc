/// Results of a formula in float64, and how far rounding may take a kernel's from each number.
#pragma once

#include <ATen/ExpandUtils.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/rounding.h"

namespace fathom {

/// What a formula calls on each number that a kernel may store: inputs, intermediates, results. It
/// leaves them as they are, or moves each by a random part of itself, and its gradient as well.
class Kept {
 public:
  /// @param wide part of what is moved where a kernel keeps a number in a wider type
  explicit Kept(double part = 0, double wide = 1)
      : part_(part), part_of_gradients_(part), wide_(wide) {}

  /// For numbers that a kernel has without an error; the gradients still are moved.
  Kept of_gradients() const {
    Kept kept = *this;
    kept.part_ = 0;
    return kept;
  }

  /// For sums and statistics, which kernels for bf16 have in float32.
  torch::Tensor wide(const torch::Tensor& x) const { return Kept(part_ * wide_)(x); }

  torch::Tensor operator()(const torch::Tensor& x) const {
    if (part_of_gradients_ == 0) return x;
    const torch::Tensor moved = x + moves_of(x, part_);
    if (moved.requires_grad())
      moved.register_hook([*this](const torch::Tensor& gradient) {
        return gradient + moves_of(gradient, part_of_gradients_);
      });
    return moved;
  }

  /// A matrix product: a sum of terms that are each moved, and so are the two of its gradients.
  torch::Tensor product(const torch::Tensor& a_in, const torch::Tensor& b_in) const {
    if (part_of_gradients_ == 0) return a_in.matmul(b_in);
    const torch::Tensor a = a_in.view_as(a_in), b = b_in.view_as(b_in);
    const torch::Tensor squares_a = a.detach().square(), squares_b = b.detach().square();
    const torch::Tensor moved = a.matmul(b) + moves_of(squares_a.matmul(squares_b).sqrt(), part_);
    const auto squares = std::make_shared<torch::Tensor>();  // of the product's gradient
    if (moved.requires_grad())
      moved.register_hook(
          [squares](const torch::Tensor& gradient) { *squares = gradient.square(); });
    if (a.requires_grad())
      a.register_hook([*this, squares, squares_b](const torch::Tensor& gradient) {
        return gradient + moves_of_sum(squares->matmul(squares_b.mT()), gradient);
      });
    if (b.requires_grad())
      b.register_hook([*this, squares, squares_a](const torch::Tensor& gradient) {
        return gradient + moves_of_sum(squares_a.mT().matmul(*squares), gradient);
      });
    return moved;
  }

 private:
  static torch::Tensor moves_of(const torch::Tensor& x, double part) {
    return torch::randn_like(x.detach()) * x.detach() * part;
  }
  /// Of a sum over a batch of sums of squares.
  torch::Tensor moves_of_sum(const torch::Tensor& squares, const torch::Tensor& gradient) const {
    return moves_of(at::sum_to(squares, gradient.sizes()).sqrt(), part_of_gradients_);
  }

  double part_, part_of_gradients_, wide_;
};

/// How a kernel computes: in which type it stores, in which it adds, and up to how many terms.
struct Arithmetic {
  torch::ScalarType stored;
  int64_t terms;
  double of_underflow = 100;  // what a number that is kept at the smallest one is multiplied by

  static double roundoff(torch::ScalarType dtype) {
    return unit_roundoff(dtype == torch::kFloat64 ? 53 : dtype == torch::kFloat32 ? 24 : 8);
  }
  /// bf16 is added up in float32.
  static torch::ScalarType wider(torch::ScalarType dtype) {
    return dtype == torch::kBFloat16 ? torch::kFloat32 : dtype;
  }
  /// A partial sum of n terms with random signs is about as large as their root sum of squares, so
  /// n roundings of them count sqrt(n) times.
  torch::Tensor bound(const torch::Tensor& sensitivity) const {
    const double sums = roundoff(wider(stored)) * std::sqrt(static_cast<double>(terms));
    const double least = stored == torch::kFloat64 ? std::numeric_limits<double>::min()
                                                   : std::numeric_limits<float>::min();
    return kSafety * (roundoff(stored) + sums) * sensitivity + of_underflow * least;
  }
};

struct Expected {
  std::vector<torch::Tensor> values;
  /// By number: the square root of the sum of c^2 in base/rounding.h, estimated from draws (Monte
  /// Carlo arithmetic; Parker 1997).
  std::vector<torch::Tensor> sensitivities;
};

/// @param formula from a Kept to results and gradients in float64
/// @param stored type of the kernel's numbers
template <typename Formula>
Expected expected_of(const Formula& formula, torch::ScalarType stored) {
  constexpr int kDraws = 16;
  constexpr double kPart = 1e-6;  // small enough for the first order, far above float64's roundoff
  const double wide =
      Arithmetic::roundoff(Arithmetic::wider(stored)) / Arithmetic::roundoff(stored);
  Expected expected{.values = formula(Kept()), .sensitivities = {}};
  for (const torch::Tensor& value : expected.values)
    expected.sensitivities.push_back(torch::zeros_like(value.detach()));
  for (int draw = 0; draw < kDraws; ++draw) {
    const std::vector<torch::Tensor> moved = formula(Kept(kPart, wide));
    for (size_t i = 0; i < moved.size(); ++i) {
      const torch::Tensor move = (moved[i].detach() - expected.values[i].detach()) / kPart;
      expected.sensitivities[i] += move.square() / kDraws;
    }
  }
  for (torch::Tensor& sensitivity : expected.sensitivities) sensitivity.sqrt_();
  return expected;
}

/// Numbers that are further off than `bound`, or not finite.
inline int64_t count_wrong(const torch::Tensor& value, const torch::Tensor& exact,
                           const torch::Tensor& bound) {
  return (value - exact).abs().le(bound).logical_not().sum().item<int64_t>();
}

/// Expects result i to be what was expected, and that errors put into it would have been seen: one
/// number that is off by a quarter of what it is the sum of, and results of the next lower
/// precision.
inline void expect_close(const std::string& what, const torch::Tensor& value,
                         const Expected& expected, size_t i, const Arithmetic& arithmetic) {
  const torch::Tensor exact = expected.values[i].detach();
  const double largest = exact.abs().max().item<double>();
  ASSERT_EQ(value.sizes(), exact.sizes()) << what;
  const torch::Tensor bound = arithmetic.bound(expected.sensitivities[i]);
  const torch::Tensor here = value.detach().cpu().to(torch::kFloat64);
  const torch::Tensor error = (here - exact).abs();
  EXPECT_EQ(count_wrong(here, exact, bound), 0)
      << what << ": up to " << (error / bound).max().item<double>() << " times the bound";

  const torch::Tensor place = exact.flatten().abs().argmax();
  torch::Tensor planted = here.clone().flatten();
  planted[place] += 0.25 * expected.sensitivities[i].flatten()[place];
  EXPECT_GT(count_wrong(planted.view_as(exact), exact, bound), 0)
      << what << ": a number that is off by a quarter of its terms passes";
  if (arithmetic.stored == torch::kBFloat16 || exact.numel() < 16) return;
  if (largest <= bound.max().item<double>()) return;  // a sum that cancels has no digits to lose
  const auto lower = arithmetic.stored == torch::kFloat64 ? torch::kFloat32 : torch::kBFloat16;
  planted = here.to(lower).to(torch::kFloat64);
  const double moved = (planted - here).abs().max().item<double>();
  if (moved <= largest * Arithmetic::roundoff(lower) / 4) return;  // numbers like 0.5
  EXPECT_GT(count_wrong(planted, exact, bound), 0) << what << ": a lower precision passes";
}

}  // namespace fathom
