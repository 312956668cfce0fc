#include "fathom/model/layers.h"

#include "fathom/base/error.h"
#include "fathom/kernels/attention.h"
#include "fathom/kernels/internal/packed.h"
#include "fathom/kernels/swiglu.h"

namespace fathom {

ProjectionImpl::ProjectionImpl(int64_t fan_in, int64_t fan_out, bool with_bias,
                               const torch::TensorOptions& options)
    : weight(register_parameter("weight", torch::empty({fan_out, fan_in}, options))) {
  if (with_bias) bias = register_parameter("bias", torch::zeros({fan_out}, options));
}

ProjectionImpl::ProjectionImpl(const torch::Tensor& uninitialized, bool with_bias)
    : weight(register_parameter("weight", uninitialized)) {
  if (with_bias)
    bias = register_parameter("bias", torch::zeros({weight.size(0)}, uninitialized.options()));
}

torch::Tensor ProjectionImpl::forward(const torch::Tensor& x) const {
  const auto dtype = x.scalar_type();
  return at::linear(x, weight.to(dtype),
                    bias.defined() ? std::optional(bias.to(dtype)) : std::nullopt);
}

NormImpl::NormImpl(const NormPlan& plan, int64_t dim, double eps,
                   const torch::TensorOptions& options)
    : weight(register_parameter("weight", torch::ones({dim}, options))), plan_(plan), eps_(eps) {
  if (plan.kind == NormKind::layer) bias = register_parameter("bias", torch::zeros({dim}, options));
  if (plan.kind == NormKind::group)
    group_ones_ = torch::ones({dim / plan.groups}, options.requires_grad(false));
  if (plan.kind == NormKind::dyt)
    alpha = register_parameter("alpha", torch::full({1}, plan.alpha, options));
  if (dim % plan.groups != 0)
    throw ConfigError(
        cat("a norm has ", plan.groups, " groups of ", dim, " channels; they must divide them"));
}

torch::Tensor NormImpl::forward(const torch::Tensor& x, double scale) const {
  const auto cast = [&](const torch::Tensor& parameter) { return parameter.to(x.scalar_type()); };
  switch (plan_.kind) {
    case NormKind::layer:
      return at::layer_norm(x, weight.sizes(), cast(weight) * scale, cast(bias) * scale, eps_);
    case NormKind::group: {
      const torch::Tensor grouped = x.unflatten(-1, {plan_.groups, x.size(-1) / plan_.groups});
      return rms_norm(grouped, group_ones_, eps_, scale).flatten(-2) * cast(weight);
    }
    case NormKind::dyt:
      return cast(weight) * scale * torch::tanh(cast(alpha) * x);
    default:
      return rms_norm(x, weight, eps_, scale);
  }
}

NormedSum NormImpl::forward(const PendingSum& sum, double scale) const {
  if (plan_.kind == NormKind::rms && sum.update.defined())
    return add_rms_norm(sum.x, sum.update, weight, eps_, scale);
  const torch::Tensor value = sum.value();
  return {value, forward(value, scale)};
}

AttentionImpl::AttentionImpl(const ModelConfig& config, const SitePlan& plan,
                             const torch::TensorOptions& options)
    : query_norm_(plan.query_norm),
      key_norm_(plan.key_norm),
      value_norm_(plan.value_norm),
      head_size_(config.head_size()),
      grouped_(config.key_value_heads() != config.num_attention_heads) {
  const int64_t query_width = config.num_attention_heads * head_size_;
  const int64_t key_value_width = config.key_value_heads() * head_size_;
  const std::vector<torch::Tensor> weights =
      empty_packed({query_width, key_value_width, key_value_width}, config.hidden_size, options);
  const auto projection = [&](const char* name, const torch::Tensor& weight) {
    return register_module(name, Projection(weight, config.attention_bias));
  };
  q_proj = projection("q_proj", weights[0]);
  k_proj = projection("k_proj", weights[1]);
  v_proj = projection("v_proj", weights[2]);
  o_proj = register_module(
      "o_proj", Projection(query_width, config.hidden_size, config.output_bias(), options));
  const auto norm = [&](const char* name, HeadNorm kind, int64_t width) -> Norm {
    if (kind == HeadNorm::none) return nullptr;
    const int64_t dim = kind == HeadNorm::head ? head_size_ : width;
    return register_module(name, Norm(NormKind::rms, dim, config.rms_norm_eps, options));
  };
  q_norm = norm("q_norm", query_norm_, query_width);
  k_norm = norm("k_norm", key_norm_, key_value_width);
  v_norm = norm("v_norm", value_norm_, key_value_width);
}

torch::Tensor AttentionImpl::normed_heads(const torch::Tensor& y_BHTC, HeadNorm kind,
                                          const Norm& norm) const {
  if (kind == HeadNorm::none) return y_BHTC;
  const torch::Tensor y_BTHC = y_BHTC.transpose(1, 2);
  const torch::Tensor normed = kind == HeadNorm::head
                                   ? norm->forward(y_BTHC)
                                   : norm->forward(y_BTHC.flatten(2)).view(y_BTHC.sizes());
  return normed.transpose(1, 2);
}

std::vector<HeadProjection> AttentionImpl::projections() const {
  return {{q_proj->weight, q_proj->bias},
          {k_proj->weight, k_proj->bias},
          {v_proj->weight, v_proj->bias}};
}

Heads AttentionImpl::heads(const torch::Tensor& x_BTD) const {
  const std::vector<torch::Tensor> y =
      project_heads(x_BTD, projections(), head_size_, /*cos_TF=*/{}, /*sin_TF=*/{});
  return {normed_heads(y[0], query_norm_, q_norm), normed_heads(y[1], key_norm_, k_norm),
          normed_heads(y[2], value_norm_, v_norm)};
}

Heads AttentionImpl::rotated_heads(const torch::Tensor& x_BTD, const RopeTable& rope) const {
  if (query_norm_ == HeadNorm::none && key_norm_ == HeadNorm::none) {
    const std::vector<torch::Tensor> y =
        project_heads(x_BTD, projections(), head_size_, rope.cos_TF, rope.sin_TF);
    return {y[0], y[1], normed_heads(y[2], value_norm_, v_norm)};
  }
  const Heads h = heads(x_BTD);
  return {apply_rope(h.query_BHTC, rope.cos_TF, rope.sin_TF),
          apply_rope(h.key_BHTC, rope.cos_TF, rope.sin_TF), h.value_BHTC};
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& x_BTD, const AttentionContext& context) {
  const Heads h = rotated_heads(x_BTD, context.rope);
  const torch::Tensor y_BHTC = attend(h.query_BHTC, h.key_BHTC, h.value_BHTC, context);
  return o_proj(y_BHTC.transpose(1, 2).flatten(2));
}

torch::Tensor AttentionImpl::attend(const torch::Tensor& q_BHTC, torch::Tensor k_BHTC,
                                    torch::Tensor v_BHTC, const AttentionContext& context) const {
  if (context.cache == nullptr && !context.mask_BTT.defined())
    return causal_attention(q_BHTC, k_BHTC, v_BHTC);
  bool causal = false;
  if (context.cache != nullptr) {
    const int64_t length = q_BHTC.size(2);
    context.cache->key_BHTC.narrow(2, context.past, length).copy_(k_BHTC);
    context.cache->value_BHTC.narrow(2, context.past, length).copy_(v_BHTC);
    k_BHTC = context.cache->key_BHTC.narrow(2, 0, context.past + length);
    v_BHTC = context.cache->value_BHTC.narrow(2, 0, context.past + length);
    TORCH_CHECK(context.past == 0 || length == 1, "a cache grows by one token after the prompt");
    causal = length > 1;
  }
  return at::scaled_dot_product_attention(
      q_BHTC, k_BHTC, v_BHTC,
      context.mask_BTT.defined() ? std::optional(context.mask_BTT) : std::nullopt,
      /*dropout_p=*/0.0, causal, /*scale=*/std::nullopt, /*enable_gqa=*/grouped_);
}

FeedForwardImpl::FeedForwardImpl(const ModelConfig& config, const torch::TensorOptions& options) {
  const int64_t inner = config.intermediate_size;
  const std::vector<torch::Tensor> weights =
      empty_packed({inner, inner}, config.hidden_size, options);
  gate_proj = register_module("gate_proj", Projection(weights[0], /*bias=*/false));
  up_proj = register_module("up_proj", Projection(weights[1], /*bias=*/false));
  down_proj =
      register_module("down_proj", Projection(inner, config.hidden_size, /*bias=*/false, options));
}

torch::Tensor FeedForwardImpl::forward(const torch::Tensor& x_BTD) {
  return swiglu_feed_forward(x_BTD, gate_proj->weight, up_proj->weight, down_proj->weight);
}

}  // namespace fathom
