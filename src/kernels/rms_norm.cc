#include "fathom/kernels/rms_norm.h"

#include <ATen/Parallel.h>
#include <torch/autograd.h>

#include "fathom/base/shape.h"
#include "rms_norm_rows.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsPerTask = 16;

/// The fused version for float32 on CPU; what needs no arithmetic twice is one pass over each row.
struct RmsNormCpu : torch::autograd::Function<RmsNormCpu> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x_in,
                               const torch::Tensor& weight_in, double eps, double scale) {
    const torch::Tensor x = x_in.contiguous();
    const torch::Tensor weight = weight_in.contiguous();
    const int64_t dim = x.size(-1);
    const int64_t rows = x.numel() / dim;
    torch::Tensor y = torch::empty_like(x);
    torch::Tensor inverse_rms = torch::empty({rows}, x.options());
    const RmsNormRows r{x.data_ptr<float>(),           weight.data_ptr<float>(),
                        inverse_rms.data_ptr<float>(), dim,
                        static_cast<float>(eps),       static_cast<float>(scale)};
    float* out = y.data_ptr<float>();
    at::parallel_for(0, rows, kRowsPerTask,
                     [&](int64_t begin, int64_t end) { rms_norm_forward(r, begin, end, out); });
    context->save_for_backward({x, weight, inverse_rms});
    context->saved_data["scale"] = scale;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const torch::Tensor& x = saved[0];
    const torch::Tensor grad = grads[0].contiguous();
    const int64_t dim = x.size(-1);
    const int64_t rows = x.numel() / dim;
    torch::Tensor grad_x = torch::empty_like(x);
    // One partial sum of dW for each thread, added up in a fixed order: the same threads give the
    // same bits.
    const int64_t parts = std::min<int64_t>(at::get_num_threads(), std::max<int64_t>(rows, 1));
    torch::Tensor grad_weight_parts = torch::zeros({parts, dim}, x.options());
    const RmsNormRows r{x.data_ptr<float>(),
                        saved[1].data_ptr<float>(),
                        saved[2].data_ptr<float>(),
                        dim,
                        0.0F,
                        static_cast<float>(context->saved_data["scale"].toDouble())};
    const float* dy = grad.data_ptr<float>();
    float* dx = grad_x.data_ptr<float>();
    float* dw = grad_weight_parts.data_ptr<float>();
    at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
      for (int64_t part = first; part < last; ++part)
        rms_norm_backward(r, rows * part / parts, rows * (part + 1) / parts, dy, dx,
                          dw + part * dim);
    });
    return {grad_x, grad_weight_parts.sum(0), torch::Tensor(), torch::Tensor()};
  }
};

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
  const bool fused = x.device().is_cpu() && x.scalar_type() == torch::kFloat32 &&
                     weight_D.scalar_type() == torch::kFloat32;
  return fused ? RmsNormCpu::apply(x, weight_D, eps, scale)
               : rms_norm_reference(x, weight_D, eps, scale);
}

}  // namespace fathom
