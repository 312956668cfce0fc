#include "fathom/kernels/rope.h"

#include <torch/autograd.h>

#include "fathom/base/shape.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// (a, b) -> (a cos - b sin, b cos + a sin) on the two halves of the channels.
torch::Tensor rotate(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin,
                     double direction) {
  const int64_t half = x.size(-1) / 2;
  // The layout of x is kept: queries arrive as a transposed view, and attention reads them in that
  // order.
  torch::Tensor out = torch::empty_like(x);
  const torch::Tensor a = x.narrow(-1, 0, half);
  const torch::Tensor b = x.narrow(-1, half, half);
  torch::Tensor out_a = out.narrow(-1, 0, half);
  torch::Tensor out_b = out.narrow(-1, half, half);
  at::mul_out(out_a, a, cos);
  out_a.addcmul_(b, sin, -direction);
  at::mul_out(out_b, b, cos);
  out_b.addcmul_(a, sin, direction);
  return out;
}

struct Rope : torch::autograd::Function<Rope> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& cos, const torch::Tensor& sin) {
    context->save_for_backward({cos, sin});
    return rotate(x, cos, sin, 1.0);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    return {rotate(grads[0], saved[0], saved[1], -1.0), torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor apply_rope(const torch::Tensor& x_BHTC, const torch::Tensor& cos_TF,
                         const torch::Tensor& sin_TF) {
  check_shape("apply_rope", "cos", cos_TF, {x_BHTC.size(2), x_BHTC.size(3) / 2});
  check_shape("apply_rope", "sin", sin_TF, {x_BHTC.size(2), x_BHTC.size(3) / 2});
  const auto dtype = x_BHTC.scalar_type();
  const auto compute = dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  if (dtype == compute) return Rope::apply(x_BHTC, cos_TF.to(compute), sin_TF.to(compute));
  return Rope::apply(x_BHTC.to(compute), cos_TF, sin_TF).to(dtype);
}

}  // namespace fathom
