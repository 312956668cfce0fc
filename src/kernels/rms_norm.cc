#include "fathom/kernels/rms_norm.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <torch/autograd.h>

#include "fathom/base/shape.h"
#include "fathom/kernels/choice.h"
#include "rms_norm_rows.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsPerTask = 16;

/// Keeps what the backward pass reads, and says how the row loops are to run.
RmsNormRows start(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& weight_in,
                  double eps, double scale) {
  const torch::Tensor weight = weight_in.contiguous();
  const int64_t dim = x.size(-1);
  torch::Tensor inverse_rms = torch::empty({x.numel() / dim}, x.options());
  context->save_for_backward({x, weight, inverse_rms});
  context->saved_data["scale"] = scale;
  return {weight.data_ptr<float>(), inverse_rms.data_ptr<float>(), dim, static_cast<float>(eps),
          static_cast<float>(scale)};
}

/// The gradients of x and weight. @param direct_in gradient of x that doesn't pass the norm, or
/// undefined
std::pair<torch::Tensor, torch::Tensor> gradients(AutogradContext* context,
                                                  const torch::Tensor& grad_in,
                                                  const torch::Tensor& direct_in) {
  const variable_list saved = context->get_saved_variables();
  const torch::Tensor& x = saved[0];
  const torch::Tensor grad = grad_in.contiguous();
  const torch::Tensor direct = direct_in.defined() ? direct_in.contiguous() : torch::Tensor();
  const int64_t dim = x.size(-1);
  const int64_t rows = x.numel() / dim;
  torch::Tensor grad_x = torch::empty_like(x);
  // One partial sum of dW for each thread, added up in a fixed order: the same threads give the
  // same bits.
  const int64_t parts = std::min<int64_t>(at::get_num_threads(), std::max<int64_t>(rows, 1));
  torch::Tensor grad_weight_parts = torch::zeros({parts, dim}, x.options());
  const RmsNormRows r{saved[1].data_ptr<float>(), saved[2].data_ptr<float>(), dim, 0.0F,
                      static_cast<float>(context->saved_data["scale"].toDouble())};
  const float* in = x.data_ptr<float>();
  const float* dy = grad.data_ptr<float>();
  const float* beside = direct.defined() ? direct.data_ptr<float>() : nullptr;
  float* dx = grad_x.data_ptr<float>();
  float* dw = grad_weight_parts.data_ptr<float>();
  at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part)
      rms_norm_backward(r, in, dy, beside, rows * part / parts, rows * (part + 1) / parts, dx,
                        dw + part * dim);
  });
  return {grad_x, grad_weight_parts.sum(0)};
}

/// The fused version for float32 on CPU.
struct RmsNormCpu : torch::autograd::Function<RmsNormCpu> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x_in,
                               const torch::Tensor& weight, double eps, double scale) {
    const torch::Tensor x = x_in.contiguous();
    const RmsNormRows r = start(context, x, weight, eps, scale);
    torch::Tensor y = torch::empty_like(x);
    const float* in = x.data_ptr<float>();
    float* out = y.data_ptr<float>();
    at::parallel_for(0, x.numel() / r.dim, kRowsPerTask,
                     [&](int64_t begin, int64_t end) { rms_norm_forward(r, in, begin, end, out); });
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    RECORD_USER_SCOPE("rms_norm");
    auto [grad_x, grad_weight] = gradients(context, grads[0], {});
    return {grad_x, grad_weight, torch::Tensor(), torch::Tensor()};
  }
};

struct AddRmsNormCpu : torch::autograd::Function<AddRmsNormCpu> {
  static variable_list forward(AutogradContext* context, const torch::Tensor& x_in,
                               const torch::Tensor& update_in, const torch::Tensor& weight,
                               double eps, double scale) {
    const torch::Tensor x = x_in.contiguous();
    const torch::Tensor update = update_in.contiguous();
    torch::Tensor sum = torch::empty_like(x);
    torch::Tensor y = torch::empty_like(x);
    const RmsNormRows r = start(context, sum, weight, eps, scale);
    context->set_materialize_grads(false);
    const float* a = x.data_ptr<float>();
    const float* b = update.data_ptr<float>();
    float* added = sum.data_ptr<float>();
    float* out = y.data_ptr<float>();
    at::parallel_for(0, x.numel() / r.dim, kRowsPerTask, [&](int64_t begin, int64_t end) {
      add_rms_norm_forward(r, a, b, begin, end, added, out);
    });
    return {sum, y};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    RECORD_USER_SCOPE("rms_norm");
    torch::Tensor grad_x = grads[0];
    torch::Tensor grad_weight;
    if (grads[1].defined()) std::tie(grad_x, grad_weight) = gradients(context, grads[1], grads[0]);
    return {grad_x, grad_x, grad_weight, torch::Tensor(), torch::Tensor()};
  }
};

bool runs_fused(const torch::Tensor& x, const torch::Tensor& weight) {
  return use_fused(x.device()) && x.device().is_cpu() && x.scalar_type() == torch::kFloat32 &&
         weight.scalar_type() == torch::kFloat32;
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
  return runs_fused(x, weight_D) ? RmsNormCpu::apply(x, weight_D, eps, scale)
                                 : rms_norm_reference(x, weight_D, eps, scale);
}

NormedSum add_rms_norm(const torch::Tensor& x, const torch::Tensor& update,
                       const torch::Tensor& weight_D, double eps, double scale) {
  check_shape("add_rms_norm", "weight", weight_D, {x.size(-1)});
  check_shape("add_rms_norm", "update", update, x.sizes().vec());
  RECORD_USER_SCOPE("rms_norm");
  if (runs_fused(x, weight_D) && update.scalar_type() == torch::kFloat32) {
    const variable_list both = AddRmsNormCpu::apply(x, update, weight_D, eps, scale);
    return {both[0], both[1]};
  }
  const torch::Tensor sum = x + update;
  return {sum, rms_norm_reference(sum, weight_D, eps, scale)};
}

}  // namespace fathom
