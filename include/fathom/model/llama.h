// The language model: embedding, blocks, final norm, head.
// Shape suffixes: B batch, T time, D model width, V vocabulary.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

#include "fathom/config/model_config.h"
#include "fathom/model/block.h"
#include "fathom/model/placement.h"

namespace fathom {

/// Keys and values of all layers, for generation.
class KeyValueCache {
 public:
  /// @param capacity longest sequence, in tokens
  KeyValueCache(const ModelConfig& config, int64_t batch, int64_t capacity,
                const torch::TensorOptions& options);
  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }

 private:
  friend class LlamaImpl;
  std::vector<LayerCache> layers_;
  int64_t length_ = 0;
  int64_t capacity_;
};

/// What a forward pass may be given beside the tokens.
struct ForwardOptions {
  /// int32 [B, T]: attention stays within equal numbers; undefined = causal only
  torch::Tensor document_BT{};
  /// Appended to: first the prompt, then one token at a time.
  KeyValueCache* cache = nullptr;
  /// Filled, one for each layer.
  std::vector<BlockTrace>* trace = nullptr;
};

/// A matrix of the model and what it is, for start values and checks.
struct NamedMatrix {
  std::string name;
  torch::Tensor weight;
  double std;  ///< of its start values
};

/// A Llama-style decoder whose residual steps follow a plan.
class LlamaImpl : public torch::nn::Module {
 public:
  /// Parameters are allocated, not started: call `start_weights` or load them.
  /// @param options dtype (of the parameters) and device
  /// @param compute dtype of activations and GEMMs
  LlamaImpl(const ModelConfig& config, ModelPlan plan, const torch::TensorOptions& options,
            torch::ScalarType compute);

  /// Draws every matrix from (seed, its name); norms and gains have started. Placements with
  /// profiled gains need profile_skips (model/profile.h) as well.
  void start_weights(int64_t seed);

  /// Hidden states after the final norm.
  /// @param input_BT int64 token ids
  /// @returns [B, T, D] in the compute dtype
  torch::Tensor hidden(const torch::Tensor& input_BT, const ForwardOptions& options = {});
  /// What the first block gets: the token embedding with its gain and norm. [B, T, D]
  torch::Tensor embed(const torch::Tensor& input_BT) const;
  /// @returns [.., V] in the compute dtype
  torch::Tensor logits(const torch::Tensor& hidden) const;
  /// Sum of the cross-entropy over non-ignored targets, times `scale`; logits are never stored.
  /// @param target_BT int64, kIgnoredTarget where there is nothing to predict
  torch::Tensor loss(const torch::Tensor& input_BT, const torch::Tensor& target_BT, double scale,
                     const ForwardOptions& options = {});

  /// Recompute each block in the backward pass instead of keeping its activations.
  void set_activation_checkpointing(bool on) { activation_checkpointing_ = on; }

  const ModelConfig& config() const { return config_; }
  const ModelPlan& plan() const { return plan_; }
  torch::ScalarType compute_dtype() const { return compute_; }
  torch::Device device() const { return embedding_.device(); }
  Block block(int64_t index) const { return blocks_[static_cast<size_t>(index)]; }
  /// Empty or undefined where the plan has none.
  const Norm& final_norm() const { return final_norm_; }
  const Norm& embedding_norm() const { return embedding_norm_; }
  const torch::Tensor& embedding_gain() const { return embedding_gain_; }
  const torch::Tensor& embedding_table() const { return embedding_; }
  /// All matrices with the std that the config and a plan prescribe; biases and norm gains are left
  /// out.
  std::vector<NamedMatrix> matrices(const ModelPlan& plan) const;
  /// The rotary table of positions [past, past + length), made on first use.
  RopeTable rope(int64_t past, int64_t length);

 private:
  PendingSum run_block(int64_t index, const PendingSum& x_BTD, const AttentionContext& context,
                       BlockTrace* trace);
  const torch::Tensor& head_weight() const { return head_.defined() ? head_ : embedding_; }

  ModelConfig config_;
  ModelPlan plan_;
  torch::ScalarType compute_;
  bool activation_checkpointing_ = false;
  torch::Tensor embedding_;  // [V, D]
  torch::Tensor embedding_gain_;
  Norm embedding_norm_{nullptr};
  std::vector<Block> blocks_;
  Norm final_norm_{nullptr};
  torch::Tensor head_;  // [V, D]; undefined when tied
  RopeTable rope_;      // of the longest input so far
};
TORCH_MODULE(Llama);

}  // namespace fathom
