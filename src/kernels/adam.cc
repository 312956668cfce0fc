#include "fathom/kernels/adam.h"

#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include <stdexcept>

#include "dispatch.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

void reference_step(const AdamOptions& options, const AdamTensors& tensors, const torch::Tensor& lr,
                    const torch::Tensor& step, const torch::Tensor& gradient_divisor,
                    const torch::Tensor& skip) {
  const std::vector<torch::Tensor> steps(tensors.parameters.size(), step);
  const auto apply = [&](auto fused) {
    fused(tensors.parameters, tensors.gradients, tensors.first_moments, tensors.second_moments,
          /*max_exp_avg_sqs=*/at::TensorList{}, steps, lr, options.beta1, options.beta2,
          options.weight_decay, options.eps, /*amsgrad=*/false, /*maximize=*/false,
          std::optional(gradient_divisor), std::optional(skip));
  };
  if (options.decoupled_decay) {
    apply([](auto&&... a) { at::_fused_adamw_(a...); });
  } else {
    apply([](auto&&... a) { at::_fused_adam_(a...); });
  }
}

void check_like(const char* what, const torch::Tensor& tensor, const torch::Tensor& parameter) {
  if (!tensor.is_contiguous() || tensor.scalar_type() != parameter.scalar_type() ||
      tensor.sizes() != parameter.sizes() || tensor.device() != parameter.device())
    throw std::invalid_argument(cat("adam_step: a ", what,
                                    " must be contiguous and of its parameter's shape, dtype and "
                                    "device"));
}

void fused_step(const RowKernels& kernels, const AdamOptions& options, const AdamTensors& tensors,
                const torch::Tensor& lr_in, const torch::Tensor& step,
                const torch::Tensor& gradient_divisor, const torch::Tensor& skip) {
  const torch::Tensor lr = lr_in.to(torch::kFloat32);
  std::vector<torch::Tensor> gradients;  // that the loops can walk like the parameters
  std::vector<AdamTensor> all;
  for (size_t i = 0; i < tensors.parameters.size(); ++i) {
    const torch::Tensor& parameter = tensors.parameters[i];
    gradients.push_back(tensors.gradients[i].contiguous());
    check_like("parameter", parameter, parameter);
    check_like("gradient", gradients[i], parameter);
    check_like("first moment", tensors.first_moments[i], parameter);
    check_like("second moment", tensors.second_moments[i], parameter);
    all.push_back({.parameter = parameter.data_ptr(),
                   .gradient = gradients[i].data_ptr(),
                   .first_moment = tensors.first_moments[i].data_ptr(),
                   .second_moment = tensors.second_moments[i].data_ptr(),
                   .size = parameter.numel(),
                   .key = options.stochastic_rounding ? tensors.keys.at(i) : 0});
  }
  const KernelLaunch launch(tensors.parameters.front());
  kernels.adam({.beta1 = options.beta1,
                .beta2 = options.beta2,
                .eps = options.eps,
                .weight_decay = options.weight_decay,
                .decoupled_decay = options.decoupled_decay,
                .stochastic_rounding = options.stochastic_rounding,
                .type = number_type(tensors.parameters.front()),
                .lr = lr.data_ptr<float>(),
                .step = step.data_ptr<float>(),
                .gradient_divisor = gradient_divisor.data_ptr<float>(),
                .skip = skip.data_ptr<float>()},
               all.data(), static_cast<int64_t>(all.size()), launch.stream());
  // A backward pass over what was computed with the old weights is an error, as after any change.
  for (const torch::Tensor& parameter : tensors.parameters)
    parameter.unsafeGetTensorImpl()->bump_version();
}

}  // namespace

void adam_step(const AdamOptions& options, const AdamTensors& tensors, const torch::Tensor& lr,
               const torch::Tensor& step, const torch::Tensor& gradient_divisor,
               const torch::Tensor& skip) {
  if (tensors.parameters.empty()) return;
  const torch::NoGradGuard no_grad;
  const torch::Tensor& first = tensors.parameters.front();
  if (options.stochastic_rounding && !rounds_stochastically(first))
    throw std::invalid_argument("adam_step rounds bf16 stochastically, with fused kernels only");
  if (const RowKernels* kernels = row_kernels_for(first))
    return fused_step(*kernels, options, tensors, lr, step, gradient_divisor, skip);
  reference_step(options, tensors, lr, step, gradient_divisor, skip);
}

bool rounds_stochastically(const torch::Tensor& parameter) {
  return parameter.scalar_type() == torch::kBFloat16 && row_kernels_for(parameter) != nullptr;
}

}  // namespace fathom
