#include "fathom/model/profile.h"

#include <cmath>

namespace fathom {
namespace {

/// Over all channels of the tokens that count, in float64: the sum doesn't depend on threads.
double variance(const torch::Tensor& x_BTD, const torch::Tensor& counts_BT) {
  torch::Tensor x_ND = x_BTD.detach().flatten(0, 1);
  if (counts_BT.defined()) x_ND = x_ND.index({counts_BT.flatten()});
  return x_ND.to(torch::kFloat64).var(/*unbiased=*/false).item<double>();
}

}  // namespace

bool needs_profile(const ModelPlan& plan) {
  for (const LayerPlan& layer : plan.layers) {
    if (layer.attention.profiled_skip || layer.feed_forward.profiled_skip) return true;
  }
  return false;
}

void profile_skips(Llama& model, const torch::Tensor& input_BT, const torch::Tensor& counts_BT) {
  const torch::NoGradGuard no_grad;
  for (int64_t i = 0; i < model->config().num_hidden_layers; ++i) {
    for (const Sublayer sublayer : {Sublayer::attention, Sublayer::feed_forward}) {
      const SitePlan& plan = model->block(i)->plan().site(sublayer);
      torch::Tensor gain = model->block(i)->parameters_of(sublayer).skip_gain;
      if (plan.profiled_skip) gain.fill_(plan.skip_gain.start);
    }
  }
  std::vector<BlockTrace> traces;
  ForwardOptions options;
  options.trace = &traces;
  model->hidden(input_BT, options);
  double sum = 0;
  for (size_t i = 0; i < traces.size(); ++i) {
    const Block block = model->block(static_cast<int64_t>(i));
    const auto step = [&](Sublayer sublayer, const SiteTrace& trace) {
      const bool first = i == 0 && sublayer == Sublayer::attention;
      torch::Tensor gain = block->parameters_of(sublayer).skip_gain;
      if (block->plan().site(sublayer).profiled_skip && !first) gain.fill_(std::sqrt(sum));
      sum += variance(trace.branch_output, counts_BT);
    };
    step(Sublayer::attention, traces[i].attention);
    step(Sublayer::feed_forward, traces[i].feed_forward);
  }
}

}  // namespace fathom
