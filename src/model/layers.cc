#include "fathom/model/layers.h"

#include "fathom/base/error.h"
#include "fathom/kernels/rms_norm.h"
#include "fathom/kernels/rope.h"
#include "fathom/kernels/swiglu.h"

namespace fathom {

ProjectionImpl::ProjectionImpl(int64_t fan_in, int64_t fan_out, bool with_bias,
                               const torch::TensorOptions& options)
    : weight(register_parameter("weight", torch::empty({fan_out, fan_in}, options))) {
  if (with_bias) bias = register_parameter("bias", torch::zeros({fan_out}, options));
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
      const torch::Tensor ones = torch::ones({grouped.size(-1)}, weight.options());
      return rms_norm(grouped, ones, eps_, scale).flatten(-2) * cast(weight);
    }
    case NormKind::dyt:
      return cast(weight) * scale * torch::tanh(cast(alpha) * x);
    default:
      return rms_norm(x, weight, eps_, scale);
  }
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
  const auto projection = [&](const char* name, int64_t fan_in, int64_t fan_out, bool bias) {
    return register_module(name, Projection(fan_in, fan_out, bias, options));
  };
  q_proj = projection("q_proj", config.hidden_size, query_width, config.attention_bias);
  k_proj = projection("k_proj", config.hidden_size, key_value_width, config.attention_bias);
  v_proj = projection("v_proj", config.hidden_size, key_value_width, config.attention_bias);
  o_proj = projection("o_proj", query_width, config.hidden_size, config.output_bias());
  const auto norm = [&](const char* name, HeadNorm kind, int64_t width) -> Norm {
    if (kind == HeadNorm::none) return nullptr;
    const int64_t dim = kind == HeadNorm::head ? head_size_ : width;
    return register_module(name, Norm(NormKind::rms, dim, config.rms_norm_eps, options));
  };
  q_norm = norm("q_norm", query_norm_, query_width);
  k_norm = norm("k_norm", key_norm_, key_value_width);
  v_norm = norm("v_norm", value_norm_, key_value_width);
}

torch::Tensor AttentionImpl::normed_heads(const torch::Tensor& y, HeadNorm kind,
                                          const Norm& norm) const {
  const torch::Tensor whole = kind == HeadNorm::full ? norm->forward(y) : y;
  const torch::Tensor heads = whole.view({y.size(0), y.size(1), -1, head_size_});
  return kind == HeadNorm::head ? norm->forward(heads) : heads;
}

Heads AttentionImpl::heads(const torch::Tensor& x_BTD) const {
  return {normed_heads(q_proj->forward(x_BTD), query_norm_, q_norm),
          normed_heads(k_proj->forward(x_BTD), key_norm_, k_norm),
          normed_heads(v_proj->forward(x_BTD), value_norm_, v_norm)};
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& x_BTD, const AttentionContext& context) {
  const auto [q_BTHC, k_BTHC, v_BTHC] = heads(x_BTD);
  const auto rotate = [&](const torch::Tensor& y_BTHC) {
    return apply_rope(y_BTHC.transpose(1, 2), context.rope.cos_TF, context.rope.sin_TF);
  };
  const torch::Tensor y_BHTC =
      attend(rotate(q_BTHC), rotate(k_BTHC), v_BTHC.transpose(1, 2), context);
  return o_proj(y_BHTC.transpose(1, 2).flatten(2));
}

torch::Tensor AttentionImpl::attend(const torch::Tensor& q_BHTC, torch::Tensor k_BHTC,
                                    torch::Tensor v_BHTC, const AttentionContext& context) const {
  bool causal = !context.mask_BTT.defined();
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
  const auto projection = [&](const char* name, int64_t fan_in, int64_t fan_out) {
    return register_module(name, Projection(fan_in, fan_out, /*bias=*/false, options));
  };
  gate_proj = projection("gate_proj", config.hidden_size, config.intermediate_size);
  up_proj = projection("up_proj", config.hidden_size, config.intermediate_size);
  down_proj = projection("down_proj", config.intermediate_size, config.hidden_size);
}

torch::Tensor FeedForwardImpl::forward(const torch::Tensor& x_BTD) {
  return down_proj(swiglu(gate_proj(x_BTD), up_proj(x_BTD)));
}

}  // namespace fathom
