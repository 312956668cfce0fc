/// The kernels' formulas in plain float64 operations, differentiated by ATen's autograd.
#pragma once

#include <torch/autograd.h>
#include <torch/types.h>

#include <vector>

#include "fathom/base/ignored_target.h"
#include "kernels/expected.h"

namespace fathom {

inline torch::Tensor leaf(const torch::Tensor& value, torch::ScalarType dtype) {
  return value.detach().to(dtype).clone().set_requires_grad(true);
}

inline torch::Tensor rms_norm_formula(const Kept& kept, const torch::Tensor& x,
                                      const torch::Tensor& weight, double eps, double scale) {
  const torch::Tensor mean = kept.wide(x.square().mean(-1, true));
  return kept(x * kept.wide((mean + eps).rsqrt()) * weight * scale);
}

inline torch::Tensor swiglu_formula(const Kept& kept, const torch::Tensor& gate,
                                    const torch::Tensor& up) {
  const torch::Tensor sigmoid = kept(1 / (1 + kept((-gate).exp())));
  return kept(kept(gate * sigmoid) * up);
}

/// Channels (i, i + half) as one complex number, multiplied by exp(i angle).
inline torch::Tensor rope_formula(const Kept& kept, const torch::Tensor& x,
                                  const torch::Tensor& angle) {
  const int64_t half = angle.size(1);
  const torch::Tensor z = torch::complex(x.narrow(-1, 0, half), x.narrow(-1, half, half)) *
                          torch::complex(kept(angle.cos()), kept(angle.sin()));
  return kept(torch::cat({torch::real(z), torch::imag(z)}, -1));
}

/// A gated feed-forward layer: the result, then the gradients of x, gate, up and down.
struct FeedForwardFormula {
  torch::Tensor x, gate, up, down, dy;

  std::vector<torch::Tensor> operator()(const Kept& kept) const {
    std::vector<torch::Tensor> of;
    for (const torch::Tensor& value : {x, gate, up, down})
      of.push_back(leaf(value, torch::kFloat64));
    const torch::Tensor input = kept(of[0]);
    const torch::Tensor gates = kept(kept.product(input, kept(of[1]).t())),
                        ups = kept(kept.product(input, kept(of[2]).t()));
    std::vector<torch::Tensor> results = {
        kept(kept.product(swiglu_formula(kept, gates, ups), kept(of[3]).t()))};
    results[0].backward(dy);
    for (const torch::Tensor& value : of) results.push_back(value.grad());
    return results;
  }
};

/// Inputs of three projections to heads: query and key, which turn, and value.
struct ProjectionsFormula {
  static constexpr int64_t kBatch = 2, kTime = 300, kWidth = 12, kSize = 10;
  torch::Tensor x, angle;
  std::vector<torch::Tensor> weights = {}, biases = {}, dy = {};
  bool biased = true;

  /// The projections, then the gradients of x, of weights and of biases.
  std::vector<torch::Tensor> operator()(const Kept& kept) const {
    const torch::Tensor input = leaf(x, torch::kFloat64);
    std::vector<torch::Tensor> w, b, y;
    for (size_t i = 0; i < weights.size(); ++i) {
      w.push_back(leaf(weights[i], torch::kFloat64));
      b.push_back(leaf(biases[i], torch::kFloat64));
      torch::Tensor heads = kept(kept.product(kept(input), kept(w[i]).t()));
      if (biased) heads = kept(heads + kept(b[i]));
      heads = heads.view({kBatch, kTime, -1, kSize}).transpose(1, 2);
      y.push_back(i < 2 ? rope_formula(kept, heads, angle) : heads);
    }
    torch::autograd::backward(y, dy);
    std::vector<torch::Tensor> results = y;
    results.push_back(input.grad());
    for (const torch::Tensor& weight : w) results.push_back(weight.grad());
    if (biased)
      for (const torch::Tensor& bias : b) results.push_back(bias.grad());
    return results;
  }
};

/// What the head is given, and its loss in float64 by autograd.
struct HeadFormula {
  torch::Tensor hidden, weight, target;
  double scale = 1, z_loss = 0;
  bool exact_logits = false;  // the type of the kernel holds them

  /// The loss, and the gradients of hidden and weight.
  std::vector<torch::Tensor> operator()(const Kept& kept) const {
    const torch::Tensor h = leaf(hidden, torch::kFloat64), w = leaf(weight, torch::kFloat64);
    const Kept before = exact_logits ? kept.of_gradients() : kept;
    const torch::Tensor logits = before(before.product(before(h), before(w).t()));
    const torch::Tensor log_sum = kept.wide(logits.logsumexp(1));
    const torch::Tensor column = target.clamp_min(0).unsqueeze(1);
    const torch::Tensor losses =
        log_sum - kept.wide(logits.gather(1, column).squeeze(1)) + z_loss * log_sum.square();
    const torch::Tensor loss = kept.wide((losses * target.ne(kIgnoredTarget)).sum() * scale);
    loss.backward();
    return {loss, h.grad(), w.grad()};
  }
};

}  // namespace fathom
