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
  BlockImpl(const ModelConfig& config, const LayerPlan& plan, const torch::TensorOptions& options);
  /// @param trace filled when not null
  torch::Tensor forward(const torch::Tensor& x_BTD, const AttentionContext& context,
                        BlockTrace* trace = nullptr);

  /// The two residual steps alone. @returns what passed through
  SiteTrace attention_step(const torch::Tensor& x_BTD, const AttentionContext& context);
  SiteTrace feed_forward_step(const torch::Tensor& x_BTD);

  const LayerPlan& plan() const { return plan_; }

  Attention self_attn{nullptr};
  FeedForward mlp{nullptr};

  /// The norms of one residual step; empty where the plan has none.
  struct SiteNorms {
    Norm input{nullptr}, output{nullptr}, sum{nullptr};
  };
  SiteNorms attention_norms, feed_forward_norms;

 private:
  LayerPlan plan_;
};
TORCH_MODULE(Block);

}  // namespace fathom
