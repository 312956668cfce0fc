#include "head_loss.h"

#include <ATen/record_function.h>

#include "fathom/base/ignored_target.h"
#include "fathom/kernels/linear_cross_entropy.h"

namespace fathom {
namespace {

/// In two passes over memory.
torch::Tensor fused_loss(const RowKernels& kernels, torch::Tensor& logits,
                         const torch::Tensor& target, double scale, double z_loss) {
  torch::Tensor loss = torch::empty({logits.size(0)}, logits.options().dtype(torch::kFloat32));
  const KernelLaunch launch(logits);
  kernels.softmax_cross_entropy({.rows = logits.size(0),
                                 .vocabulary = logits.size(1),
                                 .stride = logits.stride(0),
                                 .type = number_type(logits),
                                 .logits = logits.data_ptr(),
                                 .target = target.data_ptr<int64_t>(),
                                 .loss = loss.data_ptr<float>(),
                                 .scale = static_cast<float>(scale),
                                 .z_loss = static_cast<float>(z_loss)},
                                launch.stream());
  return loss.sum();
}

/// Turns logits [n, V] into d loss / d logits in place, and returns the loss.
torch::Tensor loss_and_logit_gradient(torch::Tensor& logits, const torch::Tensor& target,
                                      double scale, double z_loss) {
  RECORD_USER_SCOPE("softmax");
  if (const RowKernels* kernels = loss_kernels_for(logits))
    return fused_loss(*kernels, logits, target, scale, z_loss);
  const torch::Tensor keep = target.ne(kIgnoredTarget);
  const torch::Tensor column = target.where(keep, torch::zeros({}, target.options())).unsqueeze(1);
  const torch::Tensor log_sum = logits.logsumexp(1, true);
  const torch::Tensor weight = keep.to(logits.scalar_type()).mul_(scale).unsqueeze(1);
  const torch::Tensor losses = log_sum - logits.gather(1, column) + z_loss * log_sum.square();
  logits.sub_(log_sum).exp_().mul_(weight * (1 + 2 * z_loss * log_sum));
  logits.scatter_add_(1, column, weight.neg());
  return (losses * weight).sum();
}

void add_gradients(const torch::Tensor& grad_logits_in, const torch::Tensor& h,
                   const torch::Tensor& weight, torch::Tensor grad_h, torch::Tensor& grad_weight) {
  const torch::Tensor grad_logits = grad_logits_in.to(weight.scalar_type());
  at::mm_out(grad_h, grad_logits, weight);
  if (grad_weight.scalar_type() == weight.scalar_type()) {
    grad_weight.addmm_(grad_logits.t(), h);
  } else {
    // cuBLAS adds up in float32 and can leave it so; other libraries round to the weight's type.
    grad_weight += grad_weight.is_cuda() ? at::mm(grad_logits.t(), h, torch::kFloat32)
                                         : at::mm(grad_logits.t(), h);
  }
}

}  // namespace

const RowKernels* loss_kernels_for(const torch::Tensor& logits) {
  const RowKernels* kernels = row_kernels_for(logits);
  return kernels != nullptr && kernels->softmax_cross_entropy != nullptr ? kernels : nullptr;
}

// Logits have the weight's type for loops of Fathom's own, and else that in which the loss is added
// up.
HeadLoss head_loss_by_rows(const torch::Tensor& hidden, const torch::Tensor& weight,
                           const torch::Tensor& target, double scale, double z_loss,
                           bool needs_gradient, int64_t stride) {
  const auto accumulate =
      hidden.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const int64_t rows = hidden.size(0), chunk = loss_chunk_rows(hidden.device());
  HeadLoss head{torch::zeros({}, hidden.options().dtype(accumulate)), {}, {}};
  if (needs_gradient) {
    head.grad_hidden_ND = torch::empty_like(hidden);
    head.grad_weight_VD = torch::zeros(weight.sizes(), weight.options().dtype(accumulate));
  }
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t n = std::min(chunk, rows - begin);
    const torch::Tensor h = hidden.narrow(0, begin, n);
    torch::Tensor logits = torch::empty({n, stride}, h.options()).narrow(1, 0, weight.size(0));
    at::mm_out(logits, h, weight.t());
    if (loss_kernels_for(logits) == nullptr) logits = logits.to(accumulate);
    head.loss += loss_and_logit_gradient(logits, target.narrow(0, begin, n), scale, z_loss);
    if (needs_gradient)
      add_gradients(logits, h, weight, head.grad_hidden_ND.narrow(0, begin, n),
                    head.grad_weight_VD);
  }
  return head;
}

}  // namespace fathom
