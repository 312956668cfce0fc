#include "fathom/model/block.h"

namespace fathom {
namespace {

torch::Tensor scaled(const torch::Tensor& x, double factor) {
  return factor == 1.0 ? x : x * factor;
}

/// input_norm(input_scale x) norm_scale; the last factor costs nothing where there is a norm.
torch::Tensor branch_input(const torch::Tensor& x, const SitePlan& plan, Norm norm) {
  const torch::Tensor input = scaled(x, plan.input_scale);
  return norm.is_empty() ? scaled(input, plan.norm_scale) : norm(input, plan.norm_scale);
}

/// One residual step; see model/placement.h for the formula.
template <typename Branch>
SiteTrace residual_step(const torch::Tensor& x, const SitePlan& plan,
                        const BlockImpl::SiteNorms& norms, const Branch& branch) {
  const torch::Tensor h = branch_input(x, plan, norms.input);
  const torch::Tensor f = branch(h);
  const torch::Tensor update = norms.output.is_empty() ? scaled(f, plan.output_scale)
                                                       : Norm(norms.output)(f, plan.output_scale);
  const torch::Tensor sum = scaled(x, plan.skip_scale) + update;
  const torch::Tensor y =
      norms.sum.is_empty() ? scaled(sum, plan.sum_scale) : Norm(norms.sum)(sum, plan.sum_scale);
  return {x, h, f, y};
}

}  // namespace

BlockImpl::BlockImpl(const ModelConfig& config, const LayerPlan& plan,
                     const torch::TensorOptions& options)
    : plan_(plan) {
  self_attn = register_module("self_attn", Attention(config, options));
  mlp = register_module("mlp", FeedForward(config, options));
  const auto norm = [&](NormKind kind, const char* name) -> Norm {
    if (kind == NormKind::none) return nullptr;
    return register_module(name, Norm(config.hidden_size, config.rms_norm_eps, options));
  };
  // The input norms have Hugging Face's names, which don't mean what they say: the second is the
  // feed-forward's.
  attention_norms = {.input = norm(plan.attention.input_norm, "input_layernorm"),
                     .output = norm(plan.attention.output_norm, "attention_output_norm"),
                     .sum = norm(plan.attention.sum_norm, "attention_sum_norm")};
  feed_forward_norms = {.input = norm(plan.feed_forward.input_norm, "post_attention_layernorm"),
                        .output = norm(plan.feed_forward.output_norm, "feed_forward_output_norm"),
                        .sum = norm(plan.feed_forward.sum_norm, "feed_forward_sum_norm")};
}

SiteTrace BlockImpl::attention_step(const torch::Tensor& x_BTD, const AttentionContext& context) {
  return residual_step(x_BTD, plan_.attention, attention_norms,
                       [&](const torch::Tensor& h) { return self_attn(h, context); });
}

SiteTrace BlockImpl::feed_forward_step(const torch::Tensor& x_BTD) {
  return residual_step(x_BTD, plan_.feed_forward, feed_forward_norms,
                       [&](const torch::Tensor& h) { return mlp(h); });
}

torch::Tensor BlockImpl::forward(const torch::Tensor& x_BTD, const AttentionContext& context,
                                 BlockTrace* trace) {
  if (trace != nullptr) {
    trace->attention = attention_step(x_BTD, context);
    trace->feed_forward = feed_forward_step(trace->attention.output);
    return trace->feed_forward.output;
  }
  const torch::Tensor middle_BTD = attention_step(x_BTD, context).output;
  return feed_forward_step(middle_BTD).output;
}

}  // namespace fathom
