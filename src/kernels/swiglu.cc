#include "fathom/kernels/swiglu.h"

#include <ATen/record_function.h>
#include <torch/autograd.h>

#include "dispatch.h"
#include "fathom/base/shape.h"
#include "fathom/kernels/choice.h"
#include "fathom/kernels/internal/packed.h"
#include "padding.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// What silu(gate) * up passes back.
struct SwigluGradients {
  torch::Tensor gate, up;
};

SwigluGradients gradients(const torch::Tensor& gate, const torch::Tensor& up,
                          const torch::Tensor& silu, const torch::Tensor& grad) {
  return {at::silu_backward(grad * up, gate), silu * grad};
}

/// silu(gate) * up of [N, 2 width]: gate, then up. [N, width]
torch::Tensor gated(const torch::Tensor& gate_up) {
  RECORD_USER_SCOPE("swiglu");
  const int64_t width = gate_up.size(1) / 2;
  const RowKernels* kernels = row_kernels_for(gate_up);
  if (kernels == nullptr)
    return at::silu(gate_up.narrow(1, 0, width)).mul_(gate_up.narrow(1, width, width));
  torch::Tensor y = torch::empty({gate_up.size(0), width}, gate_up.options());
  const KernelLaunch launch(y);
  kernels->swiglu_forward({.rows = y.size(0),
                           .width = width,
                           .type = number_type(y),
                           .gate_up = gate_up.data_ptr(),
                           .y = y.data_ptr()},
                          launch.stream());
  return y;
}

/// Turns the gradient of `gated`'s result into that result, and returns the gradient of gate_up.
torch::Tensor gated_backward(const torch::Tensor& gate_up, torch::Tensor& grad) {
  RECORD_USER_SCOPE("swiglu");
  const int64_t width = gate_up.size(1) / 2;
  const RowKernels* kernels = row_kernels_for(gate_up);
  if (kernels == nullptr) {
    const torch::Tensor gate = gate_up.narrow(1, 0, width), up = gate_up.narrow(1, width, width);
    const torch::Tensor silu = at::silu(gate);
    const SwigluGradients of = gradients(gate, up, silu, grad);
    grad = silu.mul(up);
    return at::cat({of.gate, of.up}, 1);
  }
  torch::Tensor grad_gate_up = torch::empty_like(gate_up);
  const KernelLaunch launch(grad);
  kernels->swiglu_backward({.rows = grad.size(0),
                            .width = width,
                            .type = number_type(grad),
                            .gate_up = gate_up.data_ptr(),
                            .dy = grad.data_ptr(),
                            .grad_gate_up = grad_gate_up.data_ptr()},
                           launch.stream());
  return grad_gate_up;
}

/// Gate and up as one matrix of the compute dtype, each padded with rows of zeros to `width`.
torch::Tensor packed_weights(const torch::Tensor& gate, const torch::Tensor& up, int64_t width,
                             torch::ScalarType dtype) {
  const int64_t inner = gate.size(0);
  if (width == inner) return packed({gate, up}).to(dtype);
  torch::Tensor both = torch::zeros({2 * width, gate.size(1)}, gate.options().dtype(dtype));
  both.narrow(0, 0, inner).copy_(gate);
  both.narrow(0, width, inner).copy_(up);
  return both;
}

struct SwigluFeedForward : torch::autograd::Function<SwigluFeedForward> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x_in,
                               const torch::Tensor& gate, const torch::Tensor& up,
                               const torch::Tensor& down, int64_t width) {
    const torch::Tensor x = x_in.reshape({-1, x_in.size(-1)});
    const int64_t inner = gate.size(0);
    const torch::Tensor both = packed_weights(gate, up, width, x.scalar_type());
    torch::Tensor out = down.to(x.scalar_type());
    if (width != inner) out = at::constant_pad_nd(out, {0, width - inner});
    const torch::Tensor gate_up = at::mm(x, both.t());
    torch::Tensor y = at::mm(gated(gate_up), out.t());
    context->save_for_backward({x, gate_up, both, out});
    context->saved_data["inner"] = inner;
    context->saved_data["weight_dtype"] = static_cast<int64_t>(gate.scalar_type());
    return y.view(x_in.sizes());
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &gate_up = saved[1], &both = saved[2], &out = saved[3];
    const int64_t inner = context->saved_data["inner"].toInt();
    const int64_t width = out.size(1);
    const auto dtype = static_cast<torch::ScalarType>(context->saved_data["weight_dtype"].toInt());
    const torch::Tensor dy = grads[0].reshape({-1, grads[0].size(-1)});
    torch::Tensor hidden = at::mm(dy, out);  // the gradient of the hidden activations, then these
    const torch::Tensor grad_gate_up = gated_backward(gate_up, hidden);
    const torch::Tensor grad_down = at::mm(dy.t(), hidden).narrow(1, 0, inner).contiguous();
    const torch::Tensor grad_both = at::mm(grad_gate_up.t(), x).to(dtype);
    return {at::mm(grad_gate_up, both).view(grads[0].sizes()), grad_both.narrow(0, 0, inner),
            grad_both.narrow(0, width, inner), grad_down.to(dtype), torch::Tensor()};
  }
};

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& gate,
                               const torch::Tensor& up) {
    context->save_for_backward({gate, up});
    return at::silu(gate).mul_(up);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const torch::Tensor& gate = saved[0];
    const torch::Tensor& up = saved[1];
    const SwigluGradients of = gradients(gate, up, at::silu(gate), grads[0]);
    return {of.gate, of.up};
  }
};

}  // namespace

torch::Tensor swiglu(const torch::Tensor& gate, const torch::Tensor& up) {
  return SwiGlu::apply(gate, up);
}

torch::Tensor padded_feed_forward(const torch::Tensor& x, const torch::Tensor& gate_ID,
                                  const torch::Tensor& up_ID, const torch::Tensor& down_DI,
                                  int64_t width) {
  return SwigluFeedForward::apply(x, gate_ID, up_ID, down_DI, width);
}

torch::Tensor swiglu_feed_forward(const torch::Tensor& x, const torch::Tensor& gate_ID,
                                  const torch::Tensor& up_ID, const torch::Tensor& down_DI) {
  const int64_t inner = gate_ID.size(0), width = x.size(-1);
  check_shape("swiglu_feed_forward", "gate", gate_ID, {inner, width});
  check_shape("swiglu_feed_forward", "up", up_ID, {inner, width});
  check_shape("swiglu_feed_forward", "down", down_DI, {width, inner});
  if (use_fused(x.device()))
    return padded_feed_forward(x, gate_ID, up_ID, down_DI, padded_width(inner, x.options()));
  const auto dtype = x.scalar_type();
  return at::linear(swiglu(at::linear(x, gate_ID.to(dtype)), at::linear(x, up_ID.to(dtype))),
                    down_DI.to(dtype));
}

}  // namespace fathom
