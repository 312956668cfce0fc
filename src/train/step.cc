#include "fathom/train/step.h"

#include <ATen/record_function.h>

namespace fathom {
namespace {

template <typename T>
torch::Tensor copy_to_device(const std::vector<T>& values, const Batch& batch,
                             const torch::Device& device) {
  if (values.empty()) return {};
  const auto dtype = c10::CppTypeToScalarType<T>::value;
  const torch::Tensor host =
      torch::from_blob(const_cast<T*>(values.data()), {batch.rows, batch.length}, dtype);
  if (device.is_cpu()) return host.clone();
  return host.pin_memory().to(device, /*non_blocking=*/true);
}

/// Norm of all gradients together, in float32 or wider.
torch::Tensor gradient_norm(const Llama& model) {
  RECORD_USER_SCOPE("optimizer");
  std::vector<torch::Tensor> norms;
  for (const torch::Tensor& parameter : model->parameters()) {
    const torch::Tensor& gradient = parameter.grad();
    const auto dtype =
        gradient.scalar_type() == torch::kBFloat16 ? torch::kFloat32 : gradient.scalar_type();
    norms.push_back(at::linalg_vector_norm(gradient, 2, std::nullopt, false, dtype));
  }
  return at::linalg_vector_norm(torch::stack(norms));
}

/// What makes a sum over the targets their mean. Dividing by the count of the whole batch first
/// makes the sum over micro-batches the mean over tokens.
double mean_over(int64_t targets) {
  return 1.0 / static_cast<double>(std::max<int64_t>(targets, 1));
}

/// Adds the gradients of the loss times a scale, host's and device's. @returns the scaled loss
torch::Tensor accumulate(Llama& model, const BatchTensors& batch, double host_scale,
                         const torch::Tensor& scale, int64_t rows_per_micro_batch,
                         Parallel* parallel, const StopFlag* stop) {
  const int64_t rows = batch.input_BT.size(0);
  torch::Tensor total;
  for (int64_t begin = 0; begin < rows; begin += rows_per_micro_batch) {
    if (begin > 0 && stop != nullptr) {
      if (parallel != nullptr)
        parallel->agree_within_step(begin / rows_per_micro_batch, rows / rows_per_micro_batch);
      stop->check();
    }
    const BatchTensors part = batch.rows(begin, std::min(rows_per_micro_batch, rows - begin));
    torch::Tensor loss =
        model->loss(part.input_BT, part.target_BT, host_scale, {.document_BT = part.document_BT});
    if (scale.defined()) loss = loss * scale;
    total = total.defined() ? total + loss.detach() : loss.detach();
    const bool last = begin + rows_per_micro_batch >= rows;
    if (last && parallel != nullptr) parallel->expect_gradients(total);
    loss.backward();
  }
  return parallel == nullptr ? total : parallel->finish_gradients();
}

}  // namespace

BatchTensors BatchTensors::rows(int64_t begin, int64_t count) const {
  return {input_BT.narrow(0, begin, count), target_BT.narrow(0, begin, count),
          document_BT.defined() ? document_BT.narrow(0, begin, count) : torch::Tensor()};
}

BatchTensors to_device(const Batch& batch, const torch::Device& device) {
  return {copy_to_device(batch.input, batch, device), copy_to_device(batch.target, batch, device),
          copy_to_device(batch.document, batch, device)};
}

StepInput make_step_input(const Batch& batch, double lr, int64_t step, const torch::Device& device,
                          bool scale_on_device) {
  const auto scalar = [&](auto value, torch::ScalarType dtype) {
    return torch::full({}, value, torch::TensorOptions(dtype).device(device));
  };
  StepInput input{.batch = to_device(batch, device),
                  .lr = scalar(lr, device.is_cpu() ? torch::kFloat64 : torch::kFloat32),
                  .step = scalar(step, torch::kInt64)};
  const double scale = mean_over(batch.targets);
  if (scale_on_device) {
    input.scale = scalar(scale, torch::kFloat32);
  } else {
    input.host_scale = scale;
  }
  return input;
}

torch::Tensor accumulate_gradients(Llama& model, const BatchTensors& batch, int64_t targets,
                                   int64_t rows_per_micro_batch, Parallel* parallel) {
  return accumulate(model, batch, mean_over(targets), {}, rows_per_micro_batch, parallel,
                    /*stop=*/nullptr);
}

StepResult run_step(TrainState& state, const StepInput& input, int64_t rows_per_micro_batch,
                    double clip, Parallel* parallel, const StopFlag* stop) {
  for (torch::Tensor& parameter : state.model->parameters()) parameter.mutable_grad().reset();
  const torch::Tensor loss = accumulate(state.model, input.batch, input.host_scale, input.scale,
                                        rows_per_micro_batch, parallel, stop);
  const torch::NoGradGuard no_grad;
  const torch::Tensor norm = gradient_norm(state.model);
  const torch::Tensor bad = torch::isfinite(loss + norm).logical_not();
  state.first_bad_step.copy_(
      torch::where(bad.logical_and(state.first_bad_step == 0), input.step, state.first_bad_step));
  const torch::Tensor divisor = clip > 0 ? (norm / clip).clamp_min(1.0) : torch::ones_like(norm);
  state.optimizer.step(input.lr, divisor.to(torch::kFloat32),
                       (state.first_bad_step != 0).to(torch::kFloat32));
  if (parallel != nullptr) parallel->share_update();
  return {loss, norm};
}

void count_step(TrainState& state, const Batch& batch) {
  state.step += 1;
  state.tokens += batch.tokens;
}

StepResult train_step(TrainState& state, const Batch& batch, int64_t rows_per_micro_batch,
                      double lr, double clip, Parallel* parallel, const StopFlag* stop) {
  const torch::Device device = state.model->device();
  const auto input_of = [&](const Batch& rows) {
    return make_step_input(rows, lr, state.step + 1, device, /*scale_on_device=*/!device.is_cpu());
  };
  const StepInput input = parallel == nullptr ? input_of(batch) : input_of(parallel->share(batch));
  const StepResult result = run_step(state, input, rows_per_micro_batch, clip, parallel, stop);
  count_step(state, batch);
  return result;
}

}  // namespace fathom
