#include "fathom/model/check.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr int64_t kTokens = 12;
constexpr double kTolerance = 2e-3;

/// Everything is measured in float64, whatever the model computes in.
torch::Tensor wide(const torch::Tensor& tensor) {
  return tensor.detach().to(torch::kCPU, torch::kFloat64).reshape({-1, tensor.size(-1)});
}

torch::Tensor rms(const torch::Tensor& x_ND) { return x_ND.square().mean(-1, true).sqrt(); }

torch::Tensor normalized(const torch::Tensor& x_ND, const Norm& norm) {
  return x_ND / rms(x_ND) * wide(norm->weight);
}

double relative_distance(const torch::Tensor& value, const torch::Tensor& reference) {
  return ((value - reference).norm() / reference.norm().clamp_min(1e-30)).item<double>();
}

/// Tokens whose magnitudes differ, so that a norm (which takes magnitude away) can be told from a
/// factor. The first is so small that eps shows: only there does a factor before a norm leave a
/// trace.
torch::Tensor probe_activations(int64_t dim, double eps) {
  const at::Generator generator = at::detail::createCPUGenerator(0);
  const torch::Tensor x_ND = torch::randn({kTokens, dim}, generator, torch::kFloat64);
  torch::Tensor magnitude = torch::linspace(0.5, 3.0, kTokens, torch::kFloat64);
  magnitude[0] = std::sqrt(0.1 * eps);
  return x_ND / rms(x_ND) * magnitude.unsqueeze(1);
}

/// Collects measurements of one place.
struct Report {
  std::vector<Measurement>& all;
  std::string where;
  double tolerance;

  void add(const std::string& what, double expected, double measured) const {
    const double allowed = tolerance * std::max(std::abs(expected), 1e-12);
    all.push_back({where, what, expected, measured, std::abs(measured - expected) <= allowed});
  }
  /// A yes or no: 1 or 0.
  void add_flag(const std::string& what, bool expected, bool measured) const {
    all.push_back({where, what, expected ? 1.0 : 0.0, measured ? 1.0 : 0.0, expected == measured});
  }
};

/// The factor c that brings c * reference closest to value, and how far apart they stay.
struct Fit {
  double factor;
  double distance;
};

Fit fit(const torch::Tensor& value, const torch::Tensor& reference) {
  const double factor =
      ((value * reference).sum() / reference.square().sum().clamp_min(1e-30)).item<double>();
  return {factor, relative_distance(factor * reference, value)};
}

/// What precedes the sub-layer: norm_scale norm(input_scale x), or the factors alone.
void measure_input(const Report& report, const SitePlan& plan, const SiteTrace& trace,
                   const Norm& norm, double eps) {
  const torch::Tensor x = wide(trace.input), h = wide(trace.branch_input);
  const torch::Tensor large_x = x.slice(0, 1), large_h = h.slice(0, 1);
  const Fit raw = fit(large_h, large_x);
  const bool has_gain = !norm.is_empty();
  const Fit with_norm = has_gain ? fit(large_h, normalized(large_x, norm)) : Fit{0, INFINITY};
  const bool present = with_norm.distance < raw.distance;
  report.add_flag("norm before the sub-layer", plan.input_norm != NormKind::none, present);
  if (!present) {
    report.add("factor before the sub-layer", plan.norm_scale * plan.input_scale, raw.factor);
    return;
  }
  report.add("factor after the norm", plan.norm_scale, with_norm.factor);
  // Of the small token: h = c g s x / sqrt(s^2 m + eps), solved for s.
  const torch::Tensor small = x.slice(0, 0, 1);
  const double mean_square = small.square().mean().item<double>();
  const double q = fit(h.slice(0, 0, 1), small * wide(norm->weight)).factor / with_norm.factor;
  const double room = 1 - q * q * mean_square;
  const double before = room > 0 ? std::abs(q) * std::sqrt(eps / room) : INFINITY;
  report.add("factor before the norm", plan.input_scale, before);
}

/// y as a x + b g with the same a and b for all tokens, or up to a factor of each token's own (a
/// sum norm).
struct SumFit {
  double skip, branch, distance;
};

/// Solves [x g] (a, b) = y by normal equations, over the given rows together.
std::pair<double, double> solve(const torch::Tensor& x, const torch::Tensor& g,
                                const torch::Tensor& y) {
  const auto dot = [](const torch::Tensor& a, const torch::Tensor& b) {
    return (a * b).sum().item<double>();
  };
  const double xx = dot(x, x), xg = dot(x, g), gg = dot(g, g), xy = dot(x, y), gy = dot(g, y);
  const double determinant = xx * gg - xg * xg;
  if (determinant <= 1e-20 * xx * gg) return {xx > 0 ? xy / xx : 0, 0};
  return {(xy * gg - gy * xg) / determinant, (gy * xx - xy * xg) / determinant};
}

SumFit fit_sum(const torch::Tensor& x, const torch::Tensor& g, const torch::Tensor& y) {
  const auto [skip, branch] = solve(x, g, y);
  return {skip, branch, relative_distance(skip * x + branch * g, y)};
}

/// The same after a sum norm: each token is fitted alone, so only the ratio of skip to branch is
/// left.
SumFit fit_normalized_sum(const torch::Tensor& x, const torch::Tensor& g, const torch::Tensor& y) {
  torch::Tensor fitted = torch::empty_like(y);
  double ratio = 0;
  for (int64_t token = 0; token < x.size(0); ++token) {
    const auto [skip, branch] = solve(x[token], g[token], y[token]);
    fitted[token] = skip * x[token] + branch * g[token];
    ratio += skip / branch / static_cast<double>(x.size(0));
  }
  return {ratio, 1.0, relative_distance(fitted, y)};
}

/// What follows the sub-layer: skip, branch, and the norms on branch and sum.
void measure_sum(const Report& report, const SitePlan& plan, const SiteTrace& trace,
                 const BlockImpl::SiteNorms& norms) {
  const torch::Tensor x = wide(trace.input).slice(0, 1);
  const torch::Tensor f = wide(trace.branch_output).slice(0, 1);
  const torch::Tensor y = wide(trace.output).slice(0, 1);
  SumFit best{0, 0, INFINITY};
  bool output_norm = false, sum_norm = false;
  const auto consider = [&](const SumFit& candidate, bool on_branch, bool on_sum) {
    // A token's own factor always fits at least as well: it has to fit much better to be there.
    if (candidate.distance >= best.distance * (on_sum ? 0.2 : 1.0)) return;
    best = candidate;
    output_norm = on_branch;
    sum_norm = on_sum;
  };
  std::vector<std::pair<torch::Tensor, bool>> branches = {{f, false}};
  if (!norms.output.is_empty()) branches.emplace_back(normalized(f, norms.output), true);
  for (const auto& [g, on_branch] : branches) consider(fit_sum(x, g, y), on_branch, false);
  for (const auto& [g, on_branch] : branches) {
    if (norms.sum.is_empty() || best.distance <= report.tolerance) continue;
    const torch::Tensor without_gain = y / wide(norms.sum->weight);
    consider(fit_normalized_sum(x, g, without_gain), on_branch, true);
  }
  report.add_flag("norm after the sub-layer", plan.output_norm != NormKind::none, output_norm);
  report.add_flag("norm after the sum", plan.sum_norm != NormKind::none, sum_norm);
  if (sum_norm) {
    const double magnitude = rms(y / wide(norms.sum->weight)).mean().item<double>();
    report.add("factor of the sum", plan.sum_scale, magnitude);
    report.add("skip over branch", plan.skip_scale / plan.output_scale, best.skip);
  } else {
    report.add("factor of the skip", plan.sum_scale * plan.skip_scale, best.skip);
    report.add("factor of the branch", plan.sum_scale * plan.output_scale, best.branch);
  }
  report.add_flag("is the identity", false, relative_distance(y, x) < 1e-6);
}

/// Runs one block on the probe and measures its two residual steps.
void measure_block(LlamaImpl& model, int64_t index, const LayerPlan& plan,
                   std::vector<Measurement>& all) {
  Block block = model.block(index);
  // Activations in float32 measure a bf16 model, too: its branches are often smaller than bf16's
  // rounding of the skip.
  const auto options = torch::TensorOptions(torch::kFloat32).device(model.device());
  const double eps = model.config().rms_norm_eps;
  const torch::Tensor probe = probe_activations(model.config().hidden_size, eps);
  AttentionContext context;
  context.rope = model.rope(0, kTokens);
  BlockTrace trace;
  block(probe.to(options).unsqueeze(0), context, &trace);
  const Report attention{all, cat("layer ", index + 1, ", attention"), kTolerance};
  measure_input(attention, plan.attention, trace.attention, block->attention_norms.input, eps);
  measure_sum(attention, plan.attention, trace.attention, block->attention_norms);
  // The feed-forward is measured on the probe itself: the attention's output may have lost its
  // small token.
  const Report feed_forward{all, cat("layer ", index + 1, ", feed-forward"), kTolerance};
  const SiteTrace second = block->feed_forward_step(probe.to(options).unsqueeze(0));
  measure_input(feed_forward, plan.feed_forward, second, block->feed_forward_norms.input, eps);
  measure_sum(feed_forward, plan.feed_forward, second, block->feed_forward_norms);
}

void measure_final_norm(LlamaImpl& model, const ModelPlan& expected,
                        std::vector<Measurement>& all) {
  const Report report{all, "before the head", 0};
  report.add_flag("final norm", expected.final_norm, !model.final_norm().is_empty());
}

/// Std of every matrix against the plan, with five standard errors of the estimate and half a
/// percent of room.
void measure_start_values(const LlamaImpl& model, const ModelPlan& expected,
                          std::vector<Measurement>& all) {
  for (const NamedMatrix& matrix : model.matrices(expected)) {
    const auto count = static_cast<double>(matrix.weight.numel());
    const double std = matrix.weight.detach().to(torch::kFloat32).std(false).item<double>();
    Report{all, matrix.name, 5 / std::sqrt(2 * count) + 0.005}.add("std of the start values",
                                                                   matrix.std, std);
  }
}

/// Layers to measure: all, or an even sample with the first and the last.
std::vector<int64_t> sample_layers(int64_t num_layers, int64_t most) {
  std::vector<int64_t> layers;
  const int64_t count = std::min(num_layers, std::max<int64_t>(most, 2));
  for (int64_t i = 0; i < count; ++i)
    layers.push_back(count == 1 ? 0 : i * (num_layers - 1) / (count - 1));
  return layers;
}

}  // namespace

std::vector<Measurement> check_model(Llama& model, const ModelPlan& expected,
                                     const CheckOptions& options) {
  const torch::NoGradGuard no_grad;
  std::vector<Measurement> all;
  for (const int64_t index : sample_layers(model->config().num_hidden_layers, options.max_layers))
    measure_block(*model, index, expected.layers[static_cast<size_t>(index)], all);
  measure_final_norm(*model, expected, all);
  if (options.start_values) measure_start_values(*model, expected, all);
  return all;
}

std::string first_disagreement(const std::vector<Measurement>& measurements) {
  for (const Measurement& m : measurements) {
    if (!m.agrees)
      return cat(m.where, ": ", m.what, " is ", m.measured, ", the plan says ", m.expected);
  }
  return "";
}

}  // namespace fathom
