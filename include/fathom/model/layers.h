// The parts of a block: projection, norm, attention, feed-forward. Parameters carry Hugging Face's
// names. Shape suffixes: B batch, T time, D model width, H heads, C channels of a head, F = C / 2.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <string>

#include "fathom/config/model_config.h"
#include "fathom/model/rope.h"

namespace fathom {

/// x W^T (+ b). The weight is cast to x's dtype, so that float32 weights can serve bf16
/// activations.
class ProjectionImpl : public torch::nn::Module {
 public:
  /// @param options dtype and device of the parameters, which are left uninitialized
  ProjectionImpl(int64_t fan_in, int64_t fan_out, bool bias, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

  torch::Tensor weight;  ///< [fan_out, fan_in]
  torch::Tensor bias;    ///< [fan_out], or undefined
};
TORCH_MODULE(Projection);

/// RMSNorm over the last dimension with a learned gain, which starts at 1.
class NormImpl : public torch::nn::Module {
 public:
  NormImpl(int64_t dim, double eps, const torch::TensorOptions& options);
  /// @param scale multiplies the output; folded into the kernel's constant
  torch::Tensor forward(const torch::Tensor& x, double scale = 1.0) const;

  torch::Tensor weight;  ///< [dim]

 private:
  double eps_;
};
TORCH_MODULE(Norm);

/// Keys and values of the tokens before, for one layer.
struct LayerCache {
  torch::Tensor key_BHTC;    ///< [B, key-value heads, capacity, C]
  torch::Tensor value_BHTC;  ///< the same shape
};

/// What attention needs beside its input.
struct AttentionContext {
  RopeTable rope;               ///< of the positions of the input
  torch::Tensor mask_BTT;       ///< [B, 1, T, T] bool, true = may attend; undefined = causal
  LayerCache* cache = nullptr;  ///< when set, keys and values are appended at `past`
  int64_t past = 0;             ///< tokens in the cache before this input
};

/// Grouped-query causal attention with rotary positions.
class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(const ModelConfig& config, const torch::TensorOptions& options);
  /// @param x_BTD the result has its shape and dtype
  torch::Tensor forward(const torch::Tensor& x_BTD, const AttentionContext& context);

  Projection q_proj{nullptr}, k_proj{nullptr}, v_proj{nullptr}, o_proj{nullptr};

 private:
  torch::Tensor attend(const torch::Tensor& q_BHTC, torch::Tensor k_BHTC, torch::Tensor v_BHTC,
                       const AttentionContext& context) const;

  Norm q_norm_{nullptr}, k_norm_{nullptr};  // empty unless model.qk_norm
  int64_t head_size_;
  bool grouped_;
};
TORCH_MODULE(Attention);

/// SwiGLU: down(silu(gate(x)) * up(x)).
class FeedForwardImpl : public torch::nn::Module {
 public:
  FeedForwardImpl(const ModelConfig& config, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x_BTD);

  Projection gate_proj{nullptr}, up_proj{nullptr}, down_proj{nullptr};
};
TORCH_MODULE(FeedForward);

}  // namespace fathom
