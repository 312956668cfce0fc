#include "fathom/kernels/linear_cross_entropy.h"

#include <ATen/record_function.h>
#include <torch/autograd.h>

#include "dispatch.h"
#include "fathom/base/ignored_target.h"
#include "fathom/base/shape.h"
#include "kernels/cpu/head.h"
#include "kernels/head_loss.h"
#include "padding.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& hidden,
                               const torch::Tensor& weight, const torch::Tensor& target,
                               double scale, double z_loss, bool needs_gradient) {
    const bool in_tiles = row_kernels_for(hidden) != nullptr && loss_kernels_for(hidden) == nullptr;
    const HeadLoss head =
        in_tiles ? cpu_head_loss(hidden, weight, target, scale, z_loss, needs_gradient)
                 : head_loss_by_rows(hidden, weight, target, scale, z_loss, needs_gradient,
                                     padded_width(weight.size(0), hidden.options()));
    context->save_for_backward({head.grad_hidden_ND, head.grad_weight_VD});
    context->saved_data["weight_dtype"] = static_cast<int64_t>(weight.scalar_type());
    return head.loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    RECORD_USER_SCOPE("linear_cross_entropy");
    const variable_list saved = context->get_saved_variables();
    const auto dtype = static_cast<torch::ScalarType>(context->saved_data["weight_dtype"].toInt());
    const torch::Tensor &grad_hidden = saved[0], &grad_weight = saved[1];
    // In place: each gradient is handed on once, and they are the largest tensors of the step. The
    // host knows a factor on the CPU, where it's mostly one.
    if (!grads[0].device().is_cpu() || grads[0].item<double>() != 1.0) {
      grad_hidden.mul_(grads[0].to(grad_hidden.scalar_type()));
      grad_weight.mul_(grads[0]);
    }
    const torch::Tensor none;
    return {grad_hidden, grad_weight.to(dtype), none, none, none, none};
  }
};

/// On CPU, the rows that count: padding costs no arithmetic. On a GPU the selection would make the
/// host wait.
std::pair<torch::Tensor, torch::Tensor> drop_ignored_rows(const torch::Tensor& hidden,
                                                          const torch::Tensor& target) {
  if (!target.device().is_cpu()) return {hidden, target};
  const torch::Tensor kept = target.ne(kIgnoredTarget).nonzero().squeeze(1);
  if (kept.size(0) == target.size(0)) return {hidden, target};
  return {hidden.index_select(0, kept), target.index_select(0, kept)};
}

}  // namespace

int64_t loss_chunk_rows(const torch::Device& device) {
  return device.is_cpu() ? cpu_head_rows() : 4096;
}

torch::Tensor linear_cross_entropy(const torch::Tensor& hidden_ND, const torch::Tensor& weight_VD,
                                   const torch::Tensor& target_N, double scale, double z_loss) {
  check_shape("linear_cross_entropy", "hidden", hidden_ND, {-1, weight_VD.size(1)});
  check_shape("linear_cross_entropy", "target", target_N, {hidden_ND.size(0)});
  RECORD_USER_SCOPE("linear_cross_entropy");
  const bool needs_gradient =
      torch::GradMode::is_enabled() && (hidden_ND.requires_grad() || weight_VD.requires_grad());
  const auto [hidden, target] = drop_ignored_rows(hidden_ND, target_N.contiguous());
  return LinearCrossEntropy::apply(hidden, weight_VD, target, scale, z_loss, needs_gradient);
}

}  // namespace fathom
