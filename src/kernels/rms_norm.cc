#include "fathom/kernels/rms_norm.h"

#include <ATen/record_function.h>
#include <torch/autograd.h>

#include "dispatch.h"
#include "fathom/base/shape.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

RmsNormShape shape_of(const torch::Tensor& x, const torch::Tensor& weight, double eps,
                      double scale) {
  const int64_t dim = x.size(-1);
  return {.rows = x.numel() / dim,
          .dim = dim,
          .type = number_type(x),
          .weight_type = number_type(weight),
          .eps = static_cast<float>(eps),
          .scale = static_cast<float>(scale)};
}

/// x + update and its norm, and what the backward pass reads. Without an update the sum is x.
NormedSum forward_pass(AutogradContext* context, const torch::Tensor& x_in,
                       const torch::Tensor& update_in, const torch::Tensor& weight_in, double eps,
                       double scale) {
  const torch::Tensor x = x_in.contiguous(), weight = weight_in.contiguous();
  const torch::Tensor update = update_in.defined() ? update_in.contiguous() : torch::Tensor();
  const NormedSum both{update.defined() ? torch::empty_like(x) : x, torch::empty_like(x)};
  const RmsNormShape shape = shape_of(x, weight, eps, scale);
  torch::Tensor inverse_rms = torch::empty({shape.rows}, x.options().dtype(torch::kFloat32));
  const RowKernels* kernels = row_kernels_for(x);
  const KernelLaunch launch(x);
  kernels->rms_norm_forward({.shape = shape,
                             .x = x.data_ptr(),
                             .update = update.defined() ? update.data_ptr() : nullptr,
                             .weight = weight.data_ptr(),
                             .sum = both.sum.data_ptr(),
                             .y = both.normed.data_ptr(),
                             .inverse_rms = inverse_rms.data_ptr<float>()},
                            launch.stream());
  context->save_for_backward({both.sum, weight, inverse_rms});
  context->saved_data["eps"] = eps;
  context->saved_data["scale"] = scale;
  // The backward pass runs with the same loops, whatever is chosen by then.
  context->saved_data["kernels"] = reinterpret_cast<int64_t>(kernels);
  return both;
}

/// The gradients of the sum and the weight.
/// @param direct_in gradient of the sum that doesn't pass the norm, or undefined
std::pair<torch::Tensor, torch::Tensor> backward_pass(AutogradContext* context,
                                                      const torch::Tensor& grad_in,
                                                      const torch::Tensor& direct_in) {
  RECORD_USER_SCOPE("rms_norm");
  const variable_list saved = context->get_saved_variables();
  const torch::Tensor &sum = saved[0], &weight = saved[1];
  const torch::Tensor grad = grad_in.contiguous();
  const torch::Tensor direct = direct_in.defined() ? direct_in.contiguous() : torch::Tensor();
  const RmsNormShape shape = shape_of(sum, weight, context->saved_data["eps"].toDouble(),
                                      context->saved_data["scale"].toDouble());
  torch::Tensor grad_x = torch::empty_like(sum);
  const auto* kernels = reinterpret_cast<const RowKernels*>(context->saved_data["kernels"].toInt());
  const int64_t parts = kernels->rms_norm_parts(shape.rows, shape.dim);
  torch::Tensor grad_weight_parts =
      torch::empty({parts, shape.dim}, sum.options().dtype(torch::kFloat32));
  const KernelLaunch launch(sum);
  kernels->rms_norm_backward({.shape = shape,
                              .sum = sum.data_ptr(),
                              .weight = weight.data_ptr(),
                              .inverse_rms = saved[2].data_ptr<float>(),
                              .dy = grad.data_ptr(),
                              .direct = direct.defined() ? direct.data_ptr() : nullptr,
                              .dx = grad_x.data_ptr(),
                              .dw_parts = grad_weight_parts.data_ptr<float>(),
                              .parts = parts},
                             launch.stream());
  return {grad_x, grad_weight_parts.sum(0).to(weight.scalar_type())};
}

struct FusedRmsNorm : torch::autograd::Function<FusedRmsNorm> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight, double eps, double scale) {
    return forward_pass(context, x, /*update_in=*/{}, weight, eps, scale).normed;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    auto [grad_x, grad_weight] = backward_pass(context, grads[0], /*direct_in=*/{});
    return {grad_x, grad_weight, torch::Tensor(), torch::Tensor()};
  }
};

struct FusedAddRmsNorm : torch::autograd::Function<FusedAddRmsNorm> {
  static variable_list forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& update, const torch::Tensor& weight, double eps,
                               double scale) {
    context->set_materialize_grads(false);
    const NormedSum both = forward_pass(context, x, update, weight, eps, scale);
    return {both.sum, both.normed};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    torch::Tensor grad_x = grads[0];
    torch::Tensor grad_weight;
    if (grads[1].defined())
      std::tie(grad_x, grad_weight) = backward_pass(context, grads[1], grads[0]);
    return {grad_x, grad_x, grad_weight, torch::Tensor(), torch::Tensor()};
  }
};

bool runs_fused(const torch::Tensor& x, const torch::Tensor& weight) {
  return row_kernels_for(x) != nullptr &&
         (weight.scalar_type() == torch::kFloat32 || weight.scalar_type() == x.scalar_type());
}

}  // namespace

torch::Tensor rms_norm_reference(const torch::Tensor& x, const torch::Tensor& weight_D, double eps,
                                 double scale) {
  const auto compute = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const torch::Tensor wide = x.to(compute);
  const torch::Tensor normalized = wide * torch::rsqrt(wide.square().mean(-1, true) + eps);
  return (normalized * (weight_D.to(compute) * scale)).to(x.scalar_type());
}

torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight_D, double eps,
                       double scale) {
  check_shape("rms_norm", "weight", weight_D, {x.size(-1)});
  RECORD_USER_SCOPE("rms_norm");
  return runs_fused(x, weight_D) ? FusedRmsNorm::apply(x, weight_D, eps, scale)
                                 : rms_norm_reference(x, weight_D, eps, scale);
}

NormedSum add_rms_norm(const torch::Tensor& x, const torch::Tensor& update,
                       const torch::Tensor& weight_D, double eps, double scale) {
  check_shape("add_rms_norm", "weight", weight_D, {x.size(-1)});
  check_shape("add_rms_norm", "update", update, x.sizes().vec());
  RECORD_USER_SCOPE("rms_norm");
  if (runs_fused(x, weight_D) && update.scalar_type() == x.scalar_type()) {
    const variable_list both = FusedAddRmsNorm::apply(x, update, weight_D, eps, scale);
    return {both[0], both[1]};
  }
  const torch::Tensor sum = x + update;
  return {sum, rms_norm_reference(sum, weight_D, eps, scale)};
}

}  // namespace fathom
