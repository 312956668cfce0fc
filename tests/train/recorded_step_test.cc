// A recorded step, without a GPU: it reads nothing on the host, and what is replayed over the same
// memory gives bit for bit what plain steps give.
#include "fathom/train/recorded_step.h"

#include <ATen/ExpandUtils.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/library.h>

#include "fathom/base/error.h"
#include "model/tiny_model.h"

namespace fathom {
namespace {

/// Does what a CUDA graph does: recording queues nothing, a replay repeats it over the same memory.
class CpuGraph : public StepGraph {
 public:
  explicit CpuGraph(int64_t& replays) : replays_(replays) {}
  void run(const std::function<void()>& work) override { work(); }
  void record(const std::function<void()>& work) override { work_ = work; }
  void replay() override {
    ++replays_;
    work_();
  }

 private:
  int64_t& replays_;
  std::function<void()> work_;
};

RunConfig tiny_run(const std::string& optimizer) {
  RunConfig config;
  config.model = tiny_config("lns");
  config.train.max_steps = 20;
  config.optimizer.name = optimizer;
  config.optimizer.weight_decay = 0.1;
  return config;
}

TrainState start(const std::string& optimizer = "adamw") {
  const RunConfig config = tiny_run(optimizer);
  return make_train_state(config, resolve_plan(config.model), torch::kCPU, /*start=*/true);
}

/// @param targets that count, of the first ones
Batch batch_of(int64_t step, int64_t targets, int64_t rows = 4, int64_t length = 8) {
  const torch::Tensor tokens = tiny_tokens(rows, length + 1, step + 100);
  Batch batch;
  batch.rows = rows;
  batch.length = length;
  batch.tokens = rows * length;
  batch.targets = targets;
  for (int64_t i = 0; i < rows * length; ++i) {
    batch.input.push_back(tokens[i / length][i % length].item<int64_t>());
    const auto next = tokens[i / length][i % length + 1].item<int64_t>();
    batch.target.push_back(i < targets ? next : kIgnoredTarget);
  }
  return batch;
}

double lr_of(int64_t step) { return 1e-2 / static_cast<double>(step + 3); }

constexpr int64_t kRows = 2;  // of a micro-batch
constexpr double kClip = 0.7;

using Step = std::function<StepResult(TrainState&, const Batch&, double lr)>;

/// Losses, norms and weights of some steps; batches differ in tokens, counts and learning rates.
std::vector<torch::Tensor> outcome(const Step& step, const std::function<Batch(int64_t)>& batches) {
  TrainState state = start();
  std::vector<torch::Tensor> all;
  for (int64_t i = 0; i < 12; ++i) {
    const StepResult result = step(state, batches(i), lr_of(i));
    all.push_back(result.loss);
    all.push_back(result.gradient_norm);
  }
  for (const torch::Tensor& parameter : state.model->parameters())
    all.push_back(parameter.detach().clone());
  all.push_back(torch::tensor(state.step));
  all.push_back(torch::tensor(state.tokens));
  return all;
}

/// What train_step does on a GPU.
StepResult plain_on_device(TrainState& state, const Batch& batch, double lr) {
  const StepInput input =
      make_step_input(batch, lr, state.step + 1, torch::kCPU, /*scale_on_device=*/true);
  const StepResult result = run_step(state, input, kRows, kClip);
  count_step(state, batch);
  return result;
}

StepResult plain(TrainState& state, const Batch& batch, double lr) {
  return train_step(state, batch, kRows, lr, kClip);
}

/// @param replays counted
Step recorded(int64_t& replays) {
  const auto step = std::make_shared<RecordedStep>(std::make_unique<CpuGraph>(replays));
  return [step](TrainState& state, const Batch& batch, double lr) {
    return (*step)(state, batch, kRows, lr, kClip);
  };
}

void expect_same_bits(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i], b[i])) << i;
}

TEST(RecordedStep, GivesTheBitsOfPlainStepsOverChangingBatchesCountsAndRates) {
  int64_t replays = 0;
  const auto batches = [](int64_t step) { return batch_of(step, 32 - 3 * step % 17); };
  expect_same_bits(outcome(recorded(replays), batches), outcome(plain_on_device, batches));
  EXPECT_EQ(replays, 9);  // after three plain ones
}

TEST(RecordedStep, GivesTheBitsOfTrainStepWhereDividingByTheCountIsExact) {
  int64_t replays = 0;
  const auto batches = [](int64_t step) { return batch_of(step, int64_t{4} << step % 4); };
  expect_same_bits(outcome(recorded(replays), batches), outcome(plain, batches));
}

TEST(RecordedStep, TakesAPlainStepForABatchOfAnotherShape) {
  int64_t replays = 0;
  const auto batches = [](int64_t step) {
    Batch batch = batch_of(step, 9, 4, step == 7 ? 6 : 8);
    if (step == 9) batch.document.assign(batch.input.size(), 0);
    return batch;
  };
  expect_same_bits(outcome(recorded(replays), batches), outcome(plain_on_device, batches));
  EXPECT_EQ(replays, 7);
}

TEST(RecordedStep, FreezesTheWeightsAtANonFiniteStepAndKeepsItsNumber) {
  int64_t replays = 0;
  const Step step = recorded(replays);
  TrainState state = start();
  for (int64_t i = 0; i < 5; ++i) step(state, batch_of(i, 32), lr_of(i));
  {
    const torch::NoGradGuard no_grad;
    state.model->block(2)->mlp->down_proj->weight[0][0] = NAN;
  }
  const torch::Tensor before = state.model->block(0)->mlp->down_proj->weight.detach().clone();
  for (int64_t i = 5; i < 8; ++i) step(state, batch_of(i, 32), lr_of(i));
  EXPECT_EQ(state.first_bad_step.item<int64_t>(), 6);
  EXPECT_TRUE(torch::equal(state.model->block(0)->mlp->down_proj->weight, before));
  EXPECT_EQ(replays, 5);
}

TEST(RecordedStep, SaysWhyAStepCantBeRecorded) {
  class Refusing : public CpuGraph {
   public:
    using CpuGraph::CpuGraph;
    void record(const std::function<void()>&) override {
      TORCH_CHECK(false, "operation not permitted when stream is capturing");
    }
  };
  int64_t replays = 0;
  RecordedStep step(std::make_unique<Refusing>(replays));
  TrainState state = start();
  try {
    for (int64_t i = 0; i < 4; ++i) step(state, batch_of(i, 32), kRows, lr_of(i), kClip);
    FAIL() << "it was recorded";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("not permitted when stream"),
                                             testing::HasSubstr("train.cuda_graph=false")));
  }
}

TEST(RunStep, KeepsWhatItChangesInItsMemory) {  // which a recorded step would go on writing to
  for (const OptimizerRow& row : optimizers()) {
    TrainState state = start(std::string(row.name));
    const auto addresses = [&] {
      std::vector<const void*> all = {state.first_bad_step.data_ptr(),
                                      state.optimizer.step_count().data_ptr()};
      for (const ParameterState& of : state.optimizer.states()) {
        all.push_back(of.parameter.data_ptr());
        for (const StateTensor& kept : of.kept) all.push_back(kept.value.data_ptr());
      }
      return all;
    };
    const std::vector<const void*> before = addresses();
    plain_on_device(state, batch_of(0, 32), lr_of(0));
    EXPECT_EQ(addresses(), before) << row.name;
  }
}

// The shapes of operations that LibTorch has for meta tensors in Python only.
int64_t meta_updates = 0;
TORCH_LIBRARY_IMPL(aten, Meta, library) {
  library.impl("index_select", [](const at::Tensor& self, int64_t dim, const at::Tensor& index) {
    std::vector<int64_t> shape = self.sizes().vec();
    shape[static_cast<size_t>(dim)] = index.numel();
    return at::empty(shape, self.options());
  });
  library.impl("where.self",
               [](const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b) {
                 const auto values = at::infer_size(a.sizes(), b.sizes());
                 return at::empty(at::infer_size(condition.sizes(), values), a.options());
               });
  library.impl("where.self_out",
               [](const at::Tensor&, const at::Tensor&, const at::Tensor&,
                  at::Tensor& out) -> at::Tensor& { return out; });
  const auto as_first = [](const at::Tensor& self, at::Tensor& out) -> at::Tensor& {
    out.resize_(self.sizes());
    return out;
  };
  library.impl("abs.out", as_first);
  library.impl("logical_not.out", as_first);
  library.impl("logical_and.out",
               [](const at::Tensor& self, const at::Tensor&, at::Tensor& out) -> at::Tensor& {
                 out.resize_(self.sizes());
                 return out;
               });
  library.impl("logsumexp", [](const at::Tensor& self, at::IntArrayRef dims, bool keep) {
    return at::empty(self.sum(dims, keep).sizes(), self.options());
  });
  library.impl("embedding_dense_backward",
               [](const at::Tensor& grad, const at::Tensor&, c10::SymInt rows, c10::SymInt, bool) {
                 return at::empty({rows.expect_int(), grad.size(-1)}, grad.options());
               });
  library.impl("_fused_adamw_.tensor_lr",
               [](at::TensorList, at::TensorList, at::TensorList, at::TensorList, at::TensorList,
                  at::TensorList, const at::Tensor& lr, double, double, double, double, bool, bool,
                  const std::optional<at::Tensor>&, const std::optional<at::Tensor>&) {
                 EXPECT_EQ(lr.dim(), 0);
                 ++meta_updates;
               });
}

TEST(RunStep, ReadsNothingOnTheHost) {  // a meta tensor has no numbers that could be read
  RunConfig config = tiny_run("adamw");
  for (const bool recompute : {false, true}) {
    config.train.activation_checkpointing = recompute;
    TrainState state =
        make_train_state(config, resolve_plan(config.model), torch::kMeta, /*start=*/false);
    const auto like = [](const torch::Tensor& tensor) { return tensor.to(torch::kMeta); };
    const StepInput cpu =
        make_step_input(batch_of(0, 9), 1e-3, 1, torch::kCPU, /*scale_on_device=*/true);
    const StepInput input{.batch = {like(cpu.batch.input_BT), like(cpu.batch.target_BT)},
                          .scale = like(cpu.scale),
                          .lr = like(cpu.lr),
                          .step = like(cpu.step)};
    EXPECT_ANY_THROW(input.step.item<int64_t>());
    meta_updates = 0;
    const StepResult result = run_step(state, input, kRows, kClip);
    EXPECT_TRUE(result.loss.is_meta());
    EXPECT_EQ(meta_updates, 2);  // with and without weight decay
  }
}

}  // namespace
}  // namespace fathom
