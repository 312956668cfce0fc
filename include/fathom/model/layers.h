// The parts of a block: projection, norm, attention, feed-forward. Parameters carry Hugging Face's
// names. Shape suffixes: B batch, T time, D model width, H heads, C channels of a head, F = C / 2.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <string>
#include <vector>

#include "fathom/config/model_config.h"
#include "fathom/kernels/rms_norm.h"
#include "fathom/kernels/rope.h"
#include "fathom/model/placement.h"
#include "fathom/model/rope.h"

namespace fathom {

/// x W^T (+ b). The weight is cast to x's dtype, so that float32 weights can serve bf16
/// activations.
class ProjectionImpl : public torch::nn::Module {
 public:
  /// @param options dtype and device of the parameters, which are left uninitialized
  ProjectionImpl(int64_t fan_in, int64_t fan_out, bool bias, const torch::TensorOptions& options);
  /// @param uninitialized the weight, [fan_out, fan_in]: a part of a matrix that other projections
  /// share (kernels/packed.h)
  ProjectionImpl(const torch::Tensor& uninitialized, bool bias);
  torch::Tensor forward(const torch::Tensor& x) const;

  torch::Tensor weight;  ///< [fan_out, fan_in]
  torch::Tensor bias;    ///< [fan_out], or undefined
};
TORCH_MODULE(Projection);

/// A sum that nobody has added up yet: what reads it often has to pass over memory anyway.
struct PendingSum {
  torch::Tensor x;
  torch::Tensor update{};  ///< of x's shape, or undefined: nothing is to be added

  torch::Tensor value() const { return update.defined() ? x + update : x; }
};

/// A norm over the last dimension, of the kind that the plan says. Gains start at 1.
class NormImpl : public torch::nn::Module {
 public:
  /// @param plan of any kind but none
  /// @throws ConfigError where groups don't divide dim
  NormImpl(const NormPlan& plan, int64_t dim, double eps, const torch::TensorOptions& options);
  /// @param scale multiplies the output; of RMSNorm, folded into the kernel's constant
  torch::Tensor forward(const torch::Tensor& x, double scale = 1.0) const;
  /// Adds up a sum and norms it; an RMSNorm does both in one pass.
  NormedSum forward(const PendingSum& sum, double scale = 1.0) const;

  torch::Tensor weight;  ///< gain, [dim]
  torch::Tensor bias;    ///< of `layer`: [dim], starts at 0
  torch::Tensor alpha;   ///< of `dyt`: [1], starts at the plan's alpha

 private:
  torch::Tensor group_ones_;  // the gain within a group; no parameter
  NormPlan plan_;
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

/// Query, key and value of all heads, normed as the plan says: [B, H, T, C].
struct Heads {
  torch::Tensor query_BHTC, key_BHTC, value_BHTC;
};

/// Grouped-query causal attention with rotary positions.
class AttentionImpl : public torch::nn::Module {
 public:
  /// @param plan its query_norm, key_norm and value_norm are read
  AttentionImpl(const ModelConfig& config, const SitePlan& plan,
                const torch::TensorOptions& options);
  /// What `forward` attends with, before rotation.
  Heads heads(const torch::Tensor& x_BTD) const;
  /// @param x_BTD the result has its shape and dtype
  torch::Tensor forward(const torch::Tensor& x_BTD, const AttentionContext& context);

  Projection q_proj{nullptr}, k_proj{nullptr}, v_proj{nullptr}, o_proj{nullptr};
  Norm q_norm{nullptr}, k_norm{nullptr}, v_norm{nullptr};  ///< empty where the plan has none

 private:
  torch::Tensor attend(const torch::Tensor& q_BHTC, torch::Tensor k_BHTC, torch::Tensor v_BHTC,
                       const AttentionContext& context) const;

  torch::Tensor normed_heads(const torch::Tensor& y_BHTC, HeadNorm kind, const Norm& norm) const;
  std::vector<HeadProjection> projections() const;
  Heads rotated_heads(const torch::Tensor& x_BTD, const RopeTable& rope) const;

  HeadNorm query_norm_, key_norm_, value_norm_;
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
