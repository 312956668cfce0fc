#include "fathom/kernels/rope.h"

#include <ATen/record_function.h>
#include <torch/autograd.h>

#include <optional>

#include "dispatch.h"
#include "fathom/base/shape.h"
#include "fathom/kernels/choice.h"
#include "fathom/kernels/internal/packed.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

HeadStrides strides_of(const torch::Tensor& x_BHTC) {
  return {x_BHTC.stride(0), x_BHTC.stride(2), x_BHTC.stride(1)};
}

/// Whether the loops can rotate x into `out`.
bool runs_fused(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& out) {
  return row_kernels_for(x) != nullptr && out.scalar_type() == x.scalar_type() &&
         cos.scalar_type() == torch::kFloat32 && out.stride(3) == 1;
}

void rotate_rows(const torch::Tensor& x_BHTC, const torch::Tensor& cos, const torch::Tensor& sin,
                 double direction, torch::Tensor& out_BHTC) {
  const torch::Tensor x = x_BHTC.stride(3) == 1 ? x_BHTC : x_BHTC.contiguous();
  const torch::Tensor cos_TF = cos.contiguous(), sin_TF = sin.contiguous();
  const KernelLaunch launch(x);
  row_kernels_for(x)->rotate({.rows = x.size(0),
                              .length = x.size(2),
                              .heads = x.size(1),
                              .half = x.size(3) / 2,
                              .type = number_type(x),
                              .x = x.data_ptr(),
                              .x_strides = strides_of(x),
                              .out = out_BHTC.data_ptr(),
                              .out_strides = strides_of(out_BHTC),
                              .cos = cos_TF.data_ptr<float>(),
                              .sin = sin_TF.data_ptr<float>(),
                              .direction = static_cast<float>(direction)},
                             launch.stream());
}

/// out = (a cos - b sin, b cos + a sin) on the two halves of x's channels; out may be x itself.
void rotate_into(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin,
                 double direction, torch::Tensor out) {
  RECORD_USER_SCOPE("rope");
  if (runs_fused(x, cos, out)) return rotate_rows(x, cos, sin, direction, out);
  const int64_t half = x.size(-1) / 2;
  const torch::Tensor wide = x.to(at::promote_types(x.scalar_type(), cos.scalar_type()));
  const torch::Tensor a = wide.narrow(-1, 0, half), b = wide.narrow(-1, half, half);
  const torch::Tensor turned = sin * direction;
  const torch::Tensor out_a = a * cos - b * turned;
  const torch::Tensor out_b = b * cos + a * turned;
  out.narrow(-1, 0, half).copy_(out_a);
  out.narrow(-1, half, half).copy_(out_b);
}

struct Rope : torch::autograd::Function<Rope> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& cos, const torch::Tensor& sin) {
    context->save_for_backward({cos, sin});
    // The layout of x is kept: queries arrive as a transposed view, and attention reads them in
    // that order.
    torch::Tensor out = torch::empty_like(x);
    rotate_into(x, cos, sin, 1.0, out);
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    torch::Tensor out = torch::empty_like(grads[0]);
    rotate_into(grads[0], saved[0], saved[1], -1.0, out);
    return {out, torch::Tensor(), torch::Tensor()};
  }
};

/// The columns of query, key and value in [B, T, all], each as [B, H, T, C].
std::vector<torch::Tensor> heads_of(const torch::Tensor& packed_BTP, at::IntArrayRef widths,
                                    int64_t head_size) {
  std::vector<torch::Tensor> heads;
  int64_t begin = 0;
  for (const int64_t width : widths) {
    heads.push_back(
        packed_BTP.narrow(2, begin, width).unflatten(2, {-1, head_size}).transpose(1, 2));
    begin += width;
  }
  return heads;
}

constexpr size_t kRotated = 2;  // query and key

struct ProjectHeads : torch::autograd::Function<ProjectHeads> {
  static variable_list forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& query, const torch::Tensor& key,
                               const torch::Tensor& value, const std::optional<torch::Tensor>& bias,
                               int64_t head_size, const std::optional<torch::Tensor>& cos,
                               const std::optional<torch::Tensor>& sin) {
    const torch::Tensor weight = packed({query, key, value}).to(x.scalar_type());
    const std::vector<int64_t> widths = {query.size(0), key.size(0), value.size(0)};
    const torch::Tensor y = at::linear(x, weight, bias);
    variable_list heads = heads_of(y, widths, head_size);
    for (size_t i = 0; cos && i < kRotated; ++i) rotate_into(heads[i], *cos, *sin, 1.0, heads[i]);
    context->save_for_backward(
        {x, weight, cos.value_or(torch::Tensor()), sin.value_or(torch::Tensor())});
    context->saved_data["widths"] = widths;
    context->saved_data["head_size"] = head_size;
    context->saved_data["has_bias"] = bias.has_value();
    context->saved_data["weight_dtype"] = static_cast<int64_t>(query.scalar_type());
    return heads;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &weight = saved[1], &cos = saved[2], &sin = saved[3];
    const std::vector<int64_t> widths = context->saved_data["widths"].toIntVector();
    const auto dtype = static_cast<torch::ScalarType>(context->saved_data["weight_dtype"].toInt());
    torch::Tensor grad = torch::empty({x.size(0), x.size(1), weight.size(0)}, x.options());
    variable_list heads = heads_of(grad, widths, context->saved_data["head_size"].toInt());
    for (size_t i = 0; i < heads.size(); ++i) {
      if (cos.defined() && i < kRotated) {
        rotate_into(grads[i], cos, sin, -1.0, heads[i]);
      } else {
        heads[i].copy_(grads[i]);
      }
    }
    const torch::Tensor rows = grad.flatten(0, 1);
    const variable_list parts =
        at::mm(rows.t(), x.flatten(0, 1)).to(dtype).split_with_sizes(widths);
    const torch::Tensor grad_bias =
        context->saved_data["has_bias"].toBool() ? rows.sum(0) : torch::Tensor();
    const torch::Tensor none;
    return {at::mm(rows, weight).view(x.sizes()),
            parts[0],
            parts[1],
            parts[2],
            grad_bias,
            none,
            none,
            none};
  }
};

}  // namespace

torch::Tensor apply_rope(const torch::Tensor& x_BHTC, const torch::Tensor& cos_TF,
                         const torch::Tensor& sin_TF) {
  check_shape("apply_rope", "cos", cos_TF, {x_BHTC.size(2), x_BHTC.size(3) / 2});
  check_shape("apply_rope", "sin", sin_TF, {x_BHTC.size(2), x_BHTC.size(3) / 2});
  return Rope::apply(x_BHTC, cos_TF, sin_TF);
}

std::vector<torch::Tensor> project_heads(const torch::Tensor& x_BTD,
                                         const std::vector<HeadProjection>& projections,
                                         int64_t head_size, const torch::Tensor& cos_TF,
                                         const torch::Tensor& sin_TF) {
  const auto dtype = x_BTD.scalar_type();
  std::vector<torch::Tensor> biases;
  for (const HeadProjection& projection : projections) {
    check_shape("project_heads", "weight", projection.weight, {-1, x_BTD.size(2)});
    if (projection.bias.defined()) biases.push_back(projection.bias.to(dtype));
  }
  const auto given = [](const torch::Tensor& t) {
    return t.defined() ? std::optional(t) : std::nullopt;
  };
  if (use_fused(x_BTD.device()))
    return ProjectHeads::apply(x_BTD, projections[0].weight, projections[1].weight,
                               projections[2].weight,
                               given(biases.empty() ? torch::Tensor() : torch::cat(biases)),
                               head_size, given(cos_TF), given(sin_TF));
  std::vector<torch::Tensor> heads;
  for (size_t i = 0; i < projections.size(); ++i) {
    const torch::Tensor y = at::linear(x_BTD, projections[i].weight.to(dtype),
                                       biases.empty() ? std::nullopt : std::optional(biases[i]));
    const torch::Tensor y_BHTC = y.unflatten(2, {-1, head_size}).transpose(1, 2);
    heads.push_back(cos_TF.defined() && i < kRotated ? apply_rope(y_BHTC, cos_TF, sin_TF) : y_BHTC);
  }
  return heads;
}

}  // namespace fathom
