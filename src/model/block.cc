#include "fathom/model/block.h"

#include <cmath>
#include <stdexcept>

namespace fathom {
namespace {

using SiteParameters = BlockImpl::SiteParameters;

torch::Tensor scaled(const torch::Tensor& x, double factor) {
  return factor == 1.0 ? x : x * factor;
}

torch::Tensor gained(const torch::Tensor& x, const torch::Tensor& gain) {
  return gain.defined() ? x * gain.to(x.scalar_type()) : x;
}

/// Scales x down by 1 - silu(gate) and leaves its gradient alone (arXiv:2506.22049).
torch::Tensor gated(const torch::Tensor& x, const torch::Tensor& gate) {
  return gate.defined() ? x - at::silu(gate.to(x.scalar_type())) * x.detach() : x;
}

torch::Tensor normed(const torch::Tensor& x, const Norm& norm, double scale) {
  return norm.is_empty() ? scaled(x, scale) : norm->forward(x, scale);
}

/// A sum's value and norm_scale input_norm(input_scale value); the first factor costs nothing where
/// there is an RMSNorm, nor does the addition.
NormedSum branch_input(const PendingSum& sum, const SitePlan& plan,
                       const SiteParameters& parameters) {
  NormedSum in;
  if (plan.input_scale == 1.0 && !parameters.input.is_empty()) {
    in = parameters.input->forward(sum, plan.norm_scale);
  } else {
    in.sum = sum.value();
    in.normed = normed(scaled(in.sum, plan.input_scale), parameters.input, plan.norm_scale);
  }
  if (!parameters.norm_exponent.defined()) return in;
  const torch::Tensor exponent = parameters.norm_exponent.to(in.sum.scalar_type());
  in.normed = gained(in.normed, torch::exp(exponent * -std::log(plan.norm_exponent.base)));
  return in;
}

/// One residual step, with its last addition left to the next one where nothing comes between.
struct ResidualStep {
  SiteTrace trace;  ///< all but the output
  PendingSum output;
};

/// See model/placement.h for the formula.
template <typename Branch>
ResidualStep residual_step(const PendingSum& sum, const SitePlan& plan,
                           const SiteParameters& parameters, const Branch& branch) {
  const auto [x, h] = branch_input(sum, plan, parameters);
  const torch::Tensor f = branch(h);
  const torch::Tensor update =
      gained(normed(f, parameters.output, plan.output_scale), parameters.branch_gain);
  const torch::Tensor skip =
      gained(scaled(gated(x, parameters.skip_gate), plan.skip_scale), parameters.skip_gain);
  PendingSum y{skip, update};
  if (!parameters.sum.is_empty()) {
    y = {parameters.sum->forward(y, plan.sum_scale).normed};
  } else if (plan.sum_scale != 1.0) {
    y = {y.value() * plan.sum_scale};
  }
  if (parameters.sum_gate.defined()) y = {gated(y.value(), parameters.sum_gate)};
  return {{x, h, f, {}}, y};
}

SiteTrace completed(const ResidualStep& step) {
  SiteTrace trace = step.trace;
  trace.output = step.output.value();
  return trace;
}

}  // namespace

BlockImpl::BlockImpl(const ModelConfig& config, const LayerPlan& plan,
                     const torch::TensorOptions& options)
    : plan_(plan) {
  const SitePlan& second = plan.feed_forward;
  for (const HeadNorm norm : {second.query_norm, second.key_norm, second.value_norm}) {
    if (norm != HeadNorm::none)
      throw std::invalid_argument("a plan has norms of query, key or value at a feed-forward");
  }
  for (const SitePlan& site : {plan.attention, plan.feed_forward}) {
    if (site.profiled_skip && !site.skip_gain.present())
      throw std::invalid_argument("a plan profiles the gain of a skip that has none");
  }
  self_attn = register_module("self_attn", Attention(config, plan.attention, options));
  mlp = register_module("mlp", FeedForward(config, options));
  attention_ = make_parameters(config, Sublayer::attention, options);
  feed_forward_ = make_parameters(config, Sublayer::feed_forward, options);
}

SiteParameters BlockImpl::make_parameters(const ModelConfig& config, Sublayer sublayer,
                                          const torch::TensorOptions& options) {
  const SitePlan& plan = plan_.site(sublayer);
  const bool attention = sublayer == Sublayer::attention;
  const auto name = [&](const char* what) {
    return std::string(attention ? "attention_" : "feed_forward_") + what;
  };
  const auto norm = [&](const NormPlan& norm_plan, const std::string& module) -> Norm {
    if (!norm_plan.present()) return nullptr;
    return register_module(module,
                           Norm(norm_plan, config.hidden_size, config.rms_norm_eps, options));
  };
  const auto scalar = [&](bool present, const char* what, double start) {
    return present ? register_parameter(name(what), torch::full({1}, start, options))
                   : torch::Tensor();
  };
  const auto gain = [&](const GainPlan& gain_plan, const char* what) {
    if (gain_plan.kind != GainKind::channel)
      return scalar(gain_plan.present(), what, gain_plan.start);
    return register_parameter(name(what),
                              torch::full({config.hidden_size}, gain_plan.start, options));
  };
  // The input norms have Hugging Face's names, which don't mean what they say: the second is the
  // feed-forward's.
  const char* input_name = attention ? "input_layernorm" : "post_attention_layernorm";
  return {.input = norm(plan.input_norm, input_name),
          .output = norm(plan.output_norm, name("output_norm")),
          .sum = norm(plan.sum_norm, name("sum_norm")),
          .norm_exponent =
              scalar(plan.norm_exponent.learned, "norm_exponent", plan.norm_exponent.start),
          .skip_gain = gain(plan.skip_gain, "skip_gain"),
          .branch_gain = gain(plan.branch_gain, "branch_gain"),
          .skip_gate = scalar(plan.skip_gate, "skip_gate", 0.0),
          .sum_gate = scalar(plan.sum_gate, "sum_gate", 0.0)};
}

SiteTrace BlockImpl::attention_step(const torch::Tensor& x_BTD, const AttentionContext& context) {
  return completed(residual_step({x_BTD}, plan_.attention, attention_,
                                 [&](const torch::Tensor& h) { return self_attn(h, context); }));
}

SiteTrace BlockImpl::feed_forward_step(const torch::Tensor& x_BTD) {
  return completed(residual_step({x_BTD}, plan_.feed_forward, feed_forward_,
                                 [&](const torch::Tensor& h) { return mlp(h); }));
}

PendingSum BlockImpl::advance(const PendingSum& x_BTD, const AttentionContext& context,
                              BlockTrace* trace) {
  ResidualStep first = residual_step(x_BTD, plan_.attention, attention_,
                                     [&](const torch::Tensor& h) { return self_attn(h, context); });
  ResidualStep second = residual_step(first.output, plan_.feed_forward, feed_forward_,
                                      [&](const torch::Tensor& h) { return mlp(h); });
  if (trace == nullptr) return second.output;
  trace->attention = first.trace;
  trace->attention.output = second.trace.input;
  trace->feed_forward = completed(second);
  return {trace->feed_forward.output};
}

torch::Tensor BlockImpl::forward(const torch::Tensor& x_BTD, const AttentionContext& context,
                                 BlockTrace* trace) {
  return advance({x_BTD}, context, trace).value();
}

}  // namespace fathom
