#include "fathom/model/llama.h"

#include <ATen/Parallel.h>

#include <atomic>
#include <thread>

#include "fathom/base/error.h"
#include "fathom/kernels/linear_cross_entropy.h"
#include "fathom/model/init.h"
#include "recompute.h"

namespace fathom {

KeyValueCache::KeyValueCache(const ModelConfig& config, int64_t batch, int64_t capacity,
                             const torch::TensorOptions& options)
    : capacity_(capacity) {
  const std::vector<int64_t> shape = {batch, config.key_value_heads(), capacity,
                                      config.head_size()};
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer)
    layers_.push_back({torch::zeros(shape, options), torch::zeros(shape, options)});
}

LlamaImpl::LlamaImpl(const ModelConfig& config, ModelPlan plan, const torch::TensorOptions& options,
                     torch::ScalarType compute)
    : config_(config), plan_(std::move(plan)), compute_(compute) {
  const auto child = [](torch::nn::Module& parent, const char* name) {
    return parent.register_module(name, std::make_shared<torch::nn::Module>(name));
  };
  const auto table = [&](torch::nn::Module& parent, const char* name) {
    return child(parent, name)
        ->register_parameter("weight",
                             torch::empty({config_.vocab_size, config_.hidden_size}, options));
  };
  const auto body = child(*this, "model");
  embedding_ = table(*body, "embed_tokens");
  const auto layers = child(*body, "layers");
  for (size_t i = 0; i < plan_.layers.size(); ++i) {
    blocks_.emplace_back(config_, plan_.layers[i], options);
    layers->register_module(std::to_string(i), blocks_.back().ptr());
  }
  const auto norm = [&](const NormPlan& norm_plan, const char* name) -> Norm {
    if (!norm_plan.present()) return nullptr;
    return body->register_module(
        name, Norm(norm_plan, config_.hidden_size, config_.rms_norm_eps, options));
  };
  embedding_norm_ = norm(plan_.embedding_norm, "embedding_norm");
  final_norm_ = norm(plan_.final_norm, "norm");
  if (plan_.embedding_gain.present()) {
    const int64_t width = plan_.embedding_gain.kind == GainKind::channel ? config_.hidden_size : 1;
    embedding_gain_ = body->register_parameter(
        "embedding_gain", torch::full({width}, plan_.embedding_gain.start, options));
  }
  if (!config_.tie_word_embeddings) head_ = table(*this, "lm_head");
}

std::vector<NamedMatrix> LlamaImpl::matrices(const ModelPlan& model_plan) const {
  std::vector<NamedMatrix> all = {
      {"model.embed_tokens.weight", embedding_, config_.embedding_std()}};
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const auto add = [&](Sublayer sublayer, Weight weight, const char* name,
                         const Projection& projection) {
      const LayerPlan& plan = model_plan.layers[i];
      const Site site{static_cast<int64_t>(i) + 1, config_.num_hidden_layers, sublayer};
      const torch::Tensor& matrix = projection->weight;
      const double std =
          start_std(config_, sublayer == Sublayer::attention ? plan.attention : plan.feed_forward,
                    site, weight, matrix.size(0), matrix.size(1));
      all.push_back({cat("model.layers.", i, ".", name, ".weight"), matrix, std});
    };
    const Attention& attention = blocks_[i]->self_attn;
    add(Sublayer::attention, Weight::query, "self_attn.q_proj", attention->q_proj);
    add(Sublayer::attention, Weight::key, "self_attn.k_proj", attention->k_proj);
    add(Sublayer::attention, Weight::value, "self_attn.v_proj", attention->v_proj);
    add(Sublayer::attention, Weight::output, "self_attn.o_proj", attention->o_proj);
    const FeedForward& mlp = blocks_[i]->mlp;
    add(Sublayer::feed_forward, Weight::gate, "mlp.gate_proj", mlp->gate_proj);
    add(Sublayer::feed_forward, Weight::up, "mlp.up_proj", mlp->up_proj);
    add(Sublayer::feed_forward, Weight::down, "mlp.down_proj", mlp->down_proj);
  }
  if (head_.defined()) all.push_back({"lm_head.weight", head_, config_.initializer_range});
  return all;
}

void LlamaImpl::start_weights(int64_t seed) {
  const std::vector<NamedMatrix> all = matrices(plan_);
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < all.size(); i = next++)
      fill_normal(all[i].weight, all[i].std, seed, all[i].name);
  };
  std::vector<std::jthread> workers;
  for (int i = 1; i < at::get_num_threads(); ++i) workers.emplace_back(work);
  work();
}

RopeTable LlamaImpl::rope(int64_t past, int64_t length) {
  const auto dtype = compute_ == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  if (!rope_.cos_TF.defined() || !table_serves(config_, rope_.cos_TF.size(0), past + length))
    rope_ = make_rope_table(config_, past + length,
                            embedding_.options().dtype(dtype).requires_grad(false));
  return {rope_.cos_TF.narrow(0, past, length), rope_.sin_TF.narrow(0, past, length)};
}

namespace {

/// True where query and key are in one document and the key isn't later. [B, 1, T, T]
torch::Tensor document_mask(const torch::Tensor& document_BT) {
  return document_BT.unsqueeze(1).eq(document_BT.unsqueeze(2)).tril().unsqueeze(1);
}

}  // namespace

PendingSum LlamaImpl::run_block(int64_t index, const PendingSum& x_BTD,
                                const AttentionContext& context, BlockTrace* trace) {
  Block block = blocks_[static_cast<size_t>(index)];
  // A trace is asked for what a recomputed block forgets.
  if (!activation_checkpointing_ || !torch::GradMode::is_enabled() || trace != nullptr)
    return block->advance(x_BTD, context, trace);
  return {recompute_in_backward(
      [block, context](const torch::Tensor& x) mutable { return block(x, context); },
      x_BTD.value())};
}

torch::Tensor LlamaImpl::embed(const torch::Tensor& input_BT) const {
  torch::Tensor x_BTD = at::embedding(embedding_, input_BT).to(compute_);
  if (embedding_gain_.defined()) x_BTD = x_BTD * embedding_gain_.to(compute_);
  return embedding_norm_.is_empty() ? x_BTD : embedding_norm_->forward(x_BTD);
}

torch::Tensor LlamaImpl::hidden(const torch::Tensor& input_BT, const ForwardOptions& options) {
  AttentionContext context;
  context.past = options.cache == nullptr ? 0 : options.cache->length_;
  context.rope = rope(context.past, input_BT.size(1));
  if (options.document_BT.defined()) context.mask_BTT = document_mask(options.document_BT);
  if (options.trace != nullptr) options.trace->resize(blocks_.size());
  PendingSum x_BTD{embed(input_BT)};
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (options.cache != nullptr) context.cache = &options.cache->layers_[i];
    x_BTD = run_block(static_cast<int64_t>(i), x_BTD, context,
                      options.trace == nullptr ? nullptr : &(*options.trace)[i]);
  }
  if (options.cache != nullptr) options.cache->length_ += input_BT.size(1);
  return final_norm_.is_empty() ? x_BTD.value() : final_norm_->forward(x_BTD).normed;
}

torch::Tensor LlamaImpl::logits(const torch::Tensor& hidden) const {
  return at::linear(hidden, head_weight().to(compute_));
}

torch::Tensor LlamaImpl::loss(const torch::Tensor& input_BT, const torch::Tensor& target_BT,
                              double scale, const ForwardOptions& options) {
  return linear_cross_entropy(hidden(input_BT, options).flatten(0, 1), head_weight().to(compute_),
                              target_BT.flatten(), scale);
}

}  // namespace fathom
