#include "fathom/train/recorded_step.h"

#include "fathom/base/error.h"
#include "fathom/runtime/device.h"

namespace fathom {
namespace {

constexpr int64_t kPlainSteps = 3;

/// The tensors of an input, in one order.
std::vector<torch::Tensor> tensors_of(const StepInput& input) {
  std::vector<torch::Tensor> tensors;
  for (const torch::Tensor& tensor : {input.batch.input_BT, input.batch.target_BT,
                                      input.batch.document_BT, input.scale, input.lr, input.step}) {
    if (tensor.defined()) tensors.push_back(tensor);
  }
  return tensors;
}

}  // namespace

bool RecordedStep::fits(const StepInput& input) const {
  const std::vector<torch::Tensor> now = tensors_of(input), then = tensors_of(*input_);
  return std::equal(now.begin(), now.end(), then.begin(), then.end(),
                    [](const auto& a, const auto& b) { return a.sizes() == b.sizes(); });
}

void RecordedStep::record(TrainState& state, const StepInput& input, int64_t rows_per_micro_batch,
                          double clip) {
  input_ = input;
  rope_ = state.model->rope(/*past=*/0, input.batch.input_BT.size(1));
  // A recording has memory of its own: what the last step kept would be held twice.
  for (torch::Tensor& parameter : state.model->parameters()) parameter.mutable_grad().reset();
  try {
    graph_->record([&state, this, rows_per_micro_batch, clip] {
      result_ = run_step(state, *input_, rows_per_micro_batch, clip);
    });
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& error) {
    throw ConfigError(cat("train.cuda_graph is true, but LibTorch can't record this step: ",
                          error.what_without_backtrace(), "; use train.cuda_graph=false"));
  }
}

StepResult RecordedStep::operator()(TrainState& state, const Batch& batch,
                                    int64_t rows_per_micro_batch, double lr, double clip) {
  StepResult result;
  graph_->run([&] {
    const StepInput input = make_step_input(batch, lr, state.step + 1, state.model->device(),
                                            /*scale_on_device=*/true);
    if (plain_steps_ < kPlainSteps || (input_ && !fits(input))) {
      ++plain_steps_;
      result = run_step(state, input, rows_per_micro_batch, clip);
      return;
    }
    if (!input_) record(state, input, rows_per_micro_batch, clip);
    const std::vector<torch::Tensor> from = tensors_of(input), to = tensors_of(*input_);
    for (size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i]);
    graph_->replay();
    result = {result_.loss.clone(), result_.gradient_norm.clone()};  // the next one overwrites them
  });
  count_step(state, batch);
  return result;
}

StepFunction make_step_function(const RunConfig& config, const torch::Device& device,
                                Parallel* parallel, const StopFlag* stop) {
  const int64_t rows = config.train.rows_per_micro_batch();
  const double clip = config.train.grad_clip;
  if (!config.train.cuda_graph)
    return [=](TrainState& state, const Batch& batch, double lr) {
      return train_step(state, batch, rows, lr, clip, parallel, stop);
    };
  check_device(config, device, parallel == nullptr ? 1 : parallel->size());
  const auto recorded =
      std::make_shared<RecordedStep>(cuda_library().library->make_graph(device.index()));
  return [=](TrainState& state, const Batch& batch, double lr) {
    return (*recorded)(state, batch, rows, lr, clip);
  };
}

}  // namespace fathom
