// A block: two residual steps that read their plans. The only reader of plans beside the start
// values. Shape suffixes: B batch, T time, D model width.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "fathom/model/layers.h"
#include "fathom/model/placement.h"

namespace fathom {

/// What passed through one residual step, for checks and diagnosis. Each [B, T, D].
struct SiteTrace {
  torch::Tensor input;          ///< x
  torch::Tensor branch_input;   ///< norm_scale input_norm(input_scale x)
  torch::Tensor branch_output;  ///< F(branch_input), before the output norm
  torch::Tensor output;         ///< y
};

struct BlockTrace {
  SiteTrace attention;
  SiteTrace feed_forward;
};

/// Attention and feed-forward, each in the residual step that its plan describes.
class BlockImpl : public torch::nn::Module {
 public:
  /// @throws std::invalid_argument where the plan of a feed-forward has norms of heads, or a plan
  /// profiles a gain that it doesn't have
  BlockImpl(const ModelConfig& config, const LayerPlan& plan, const torch::TensorOptions& options);
  /// @param trace filled when not null
  torch::Tensor forward(const torch::Tensor& x_BTD, const AttentionContext& context,
                        BlockTrace* trace = nullptr);
  /// The same from one block to the next: what the block before left to be added is added in the
  /// pass of this one's first norm.
  PendingSum advance(const PendingSum& x_BTD, const AttentionContext& context,
                     BlockTrace* trace = nullptr);

  /// The two residual steps alone. @returns what passed through
  SiteTrace attention_step(const torch::Tensor& x_BTD, const AttentionContext& context);
  SiteTrace feed_forward_step(const torch::Tensor& x_BTD);

  const LayerPlan& plan() const { return plan_; }

  Attention self_attn{nullptr};
  FeedForward mlp{nullptr};

  /// What one residual step learns beside its matrices; empty or undefined where the plan has none.
  struct SiteParameters {
    Norm input{nullptr}, output{nullptr}, sum{nullptr};
    torch::Tensor norm_exponent;           ///< [1]
    torch::Tensor skip_gain, branch_gain;  ///< [1] or [D]
    torch::Tensor skip_gate, sum_gate;     ///< [1], starts at 0
  };
  const SiteParameters& parameters_of(Sublayer sublayer) const {
    return sublayer == Sublayer::attention ? attention_ : feed_forward_;
  }

 private:
  SiteParameters make_parameters(const ModelConfig& config, Sublayer sublayer,
                                 const torch::TensorOptions& options);

  LayerPlan plan_;
  SiteParameters attention_, feed_forward_;
};
TORCH_MODULE(Block);

}  // namespace fathom
