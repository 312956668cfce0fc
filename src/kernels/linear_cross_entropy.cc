#include "fathom/kernels/linear_cross_entropy.h"

#include <ATen/Parallel.h>
#include <torch/autograd.h>

#include "fathom/base/ignored_target.h"
#include "fathom/base/shape.h"
#include "softmax_rows.h"

namespace fathom {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Rows of logits that exist at a time: few enough for a CPU's cache, enough for a GPU's GEMM.
int64_t rows_per_chunk(const torch::Device& device) { return device.is_cpu() ? 256 : 4096; }

/// The fused version for float32 on CPU.
torch::Tensor loss_and_logit_gradient_cpu(torch::Tensor& logits, const torch::Tensor& target,
                                          double scale) {
  torch::Tensor loss = torch::empty({logits.size(0)}, logits.options());
  float* x = logits.data_ptr<float>();
  const int64_t* classes = target.data_ptr<int64_t>();
  float* row_loss = loss.data_ptr<float>();
  at::parallel_for(0, logits.size(0), /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    softmax_cross_entropy_rows(x, classes, row_loss, logits.size(1), static_cast<float>(scale),
                               begin, end);
  });
  return loss.sum();
}

/// Turns logits [n, V] into d loss / d logits in place, and returns the loss summed over the rows.
torch::Tensor loss_and_logit_gradient(torch::Tensor& logits, const torch::Tensor& target,
                                      double scale) {
  if (logits.device().is_cpu() && logits.scalar_type() == torch::kFloat32)
    return loss_and_logit_gradient_cpu(logits, target, scale);
  const torch::Tensor keep = target.ne(kIgnoredTarget);
  const torch::Tensor column = target.where(keep, torch::zeros({}, target.options())).unsqueeze(1);
  const torch::Tensor log_sum = logits.logsumexp(1, true);
  const torch::Tensor weight = keep.to(logits.scalar_type()).mul_(scale).unsqueeze(1);
  const torch::Tensor loss = ((log_sum - logits.gather(1, column)) * weight).sum();
  logits.sub_(log_sum).exp_().mul_(weight);
  logits.scatter_add_(1, column, weight.neg());
  return loss;
}

struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& hidden,
                               const torch::Tensor& weight, const torch::Tensor& target,
                               double scale, bool needs_gradient) {
    const auto accumulate =
        hidden.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    const int64_t rows = hidden.size(0);
    const int64_t chunk = rows_per_chunk(hidden.device());
    torch::Tensor loss = torch::zeros({}, hidden.options().dtype(accumulate));
    torch::Tensor grad_hidden, grad_weight;
    if (needs_gradient) {
      grad_hidden = torch::empty_like(hidden);
      grad_weight = torch::zeros(weight.sizes(), weight.options().dtype(accumulate));
    }
    for (int64_t begin = 0; begin < rows; begin += chunk) {
      const int64_t n = std::min(chunk, rows - begin);
      const torch::Tensor h = hidden.narrow(0, begin, n);
      torch::Tensor logits = at::mm(h, weight.t()).to(accumulate);
      loss += loss_and_logit_gradient(logits, target.narrow(0, begin, n), scale);
      if (!needs_gradient) continue;
      const torch::Tensor grad_logits = logits.to(weight.scalar_type());
      torch::Tensor grad_h = grad_hidden.narrow(0, begin, n);
      at::mm_out(grad_h, grad_logits, weight);
      if (accumulate == weight.scalar_type()) {
        grad_weight.addmm_(grad_logits.t(), h);
      } else {
        grad_weight += at::mm(grad_logits.t(), h);
      }
    }
    context->save_for_backward({grad_hidden, grad_weight});
    context->saved_data["weight_dtype"] = static_cast<int64_t>(weight.scalar_type());
    return loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const auto dtype = static_cast<torch::ScalarType>(context->saved_data["weight_dtype"].toInt());
    // In place: each gradient is handed on once, and they are the largest tensors of the step.
    torch::Tensor grad_hidden = saved[0].mul_(grads[0].to(saved[0].scalar_type()));
    torch::Tensor grad_weight = saved[1].mul_(grads[0]).to(dtype);
    return {grad_hidden, grad_weight, torch::Tensor(), torch::Tensor(), torch::Tensor()};
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

torch::Tensor linear_cross_entropy(const torch::Tensor& hidden_ND, const torch::Tensor& weight_VD,
                                   const torch::Tensor& target_N, double scale) {
  check_shape("linear_cross_entropy", "hidden", hidden_ND, {-1, weight_VD.size(1)});
  check_shape("linear_cross_entropy", "target", target_N, {hidden_ND.size(0)});
  const bool needs_gradient =
      torch::GradMode::is_enabled() && (hidden_ND.requires_grad() || weight_VD.requires_grad());
  const auto [hidden, target] = drop_ignored_rows(hidden_ND, target_N.contiguous());
  return LinearCrossEntropy::apply(hidden, weight_VD, target, scale, needs_gradient);
}

}  // namespace fathom
