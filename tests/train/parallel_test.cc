#include "fathom/train/parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "model/tiny_model.h"
#include "train/parallel/collectives.h"
#include "train/parallel/gradients.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using Environment = std::map<std::string, std::string>;

Launch launch_of(const Environment& environment) {
  return read_launch([&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

std::string error_of(const Environment& environment) {
  try {
    launch_of(environment);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

const Environment kTorchrun = {{"RANK", "3"},
                               {"WORLD_SIZE", "4"},
                               {"LOCAL_RANK", "1"},
                               {"LOCAL_WORLD_SIZE", "2"},
                               {"MASTER_ADDR", "10.0.0.1"},
                               {"MASTER_PORT", "29500"},
                               {"TORCHELASTIC_USE_AGENT_STORE", "True"}};

TEST(Launch, IsOneProcessWithoutVariables) { EXPECT_EQ(launch_of({}).world_size, 1); }

TEST(Launch, ReadsTorchrunsVariables) {
  const Launch launch = launch_of(kTorchrun);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.world_size, 4);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_world_size, 2);
  EXPECT_EQ(launch.address, "10.0.0.1");
  EXPECT_EQ(launch.port, 29500);
  EXPECT_TRUE(launch.launcher_store);
}

TEST(Launch, RefusesVariablesThatAreMissingOrWrongByName) {
  for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}) {
    Environment without = kTorchrun;
    without.erase(name);
    EXPECT_THAT(error_of(without), HasSubstr(std::string(name) + " is not set"));
    if (std::string(name) == "MASTER_ADDR") continue;
    Environment wrong = kTorchrun;
    for (const char* value : {"-1", "4x", "70000000"}) {
      wrong[name] = value;
      EXPECT_THAT(error_of(wrong), HasSubstr(std::string(name) + " is '" + value + "'"));
    }
  }
}

TEST(Launch, ReadsSlurmsVariablesWhereTorchrunsAreMissing) {
  Environment slurm = {{"SLURM_PROCID", "5"},
                       {"SLURM_NTASKS", "8"},
                       {"SLURM_LOCALID", "1"},
                       {"SLURM_JOB_ID", "1234567"}};
  const std::map<std::string, std::string> first_hosts = {{"n[03-07,9]-ib,m1", "n03-ib"},
                                                          {"a1,b[1-2]", "a1"},
                                                          {"gpu[7,9]", "gpu7"},
                                                          {"alone", "127.0.0.1"}};
  for (const auto& [list, first] : first_hosts) {
    slurm["SLURM_JOB_NODELIST"] = list;
    const Launch launch = launch_of(slurm);
    EXPECT_EQ(launch.address, first) << list;
    EXPECT_EQ(launch.rank, 5);
    EXPECT_EQ(launch.world_size, 8);
    EXPECT_EQ(launch.port, 15000 + 4567);
  }
  slurm.erase("SLURM_NTASKS");
  EXPECT_THAT(error_of(slurm), HasSubstr("SLURM_NTASKS is not set"));
}

TEST(Zero, GivesEveryRankWholeParametersOfAboutTheSameSize) {
  // 8 | -, 8 | 5, 8 | 5 + 4, 8 + 2 | 9, 10 | 9 + 1
  EXPECT_EQ(balanced_owners({8, 1, 5, 4, 2}, 2), (std::vector<int64_t>{0, 1, 1, 1, 0}));
  EXPECT_EQ(balanced_owners({3, 4}, 1), (std::vector<int64_t>{0, 0}));
}

/// Runs `work` on ranks that are threads.
void on_ranks(int64_t ranks, const std::function<void(Collectives&)>& work) {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      Collectives collectives(store,
                              {.rank = rank, .size = ranks, .timeout = std::chrono::seconds(20)});
      work(collectives);
      collectives.sum(torch::zeros({1}));  // nobody leaves before all are done
    });
  }
  for (std::thread& thread : threads) thread.join();
}

Optimizer with_gradients(Llama& model) {
  for (torch::Tensor& parameter : model->parameters())
    parameter.mutable_grad() = torch::ones_like(parameter.detach());
  return {OptimizerConfig(), model->named_parameters()};
}

TEST(Checksums, NameTheRankAndTheParameterOfOneFlippedBit) {
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  for (const auto& [ranks, wrong, expected] :
       {std::tuple{int64_t{2}, int64_t{1}, "differs between ranks 0 and 1"},
        std::tuple{int64_t{3}, int64_t{1}, "of rank 1 is not what the other ranks have"}}) {
    for (const bool gradient : {true, false}) {
      on_ranks(ranks, [&](Collectives& collectives) {
        Llama model = tiny_model(tiny_config(), torch::kFloat32);
        Optimizer optimizer = with_gradients(model);
        EXPECT_EQ(find_difference(optimizer.states(), collectives), "");
        const torch::NoGradGuard no_grad;
        const torch::Tensor parameter = model->named_parameters()[name];
        const torch::Tensor bits = (gradient ? parameter.grad() : parameter).view(torch::kInt32);
        if (collectives.rank() == wrong) bits[3][2].bitwise_xor_(1);
        const std::string what = (gradient ? "the gradient of '" : "'") + name + "' ";
        EXPECT_EQ(find_difference(optimizer.states(), collectives), what + expected);
      });
    }
  }
}

TEST(GradientBuckets, SumTheLastPassWithWhatWasThereAndLeaveOthersAlone) {
  constexpr int64_t kRanks = 2;
  on_ranks(kRanks, [&](Collectives& collectives) {
    std::vector<torch::Tensor> parameters;
    for (int64_t i = 1; i <= 5; ++i)
      parameters.push_back(torch::full({i, 3}, 1.0, torch::requires_grad()));
    GradientBuckets buckets(parameters, collectives, /*bucket_bytes=*/64);
    const auto backward = [&] {
      torch::Tensor loss = torch::zeros({});
      for (const torch::Tensor& parameter : parameters)
        loss = loss + parameter.sum() * static_cast<double>(collectives.rank() + 1);
      loss.backward();
    };
    backward();
    for (const torch::Tensor& parameter : parameters)
      EXPECT_EQ(parameter.grad()[0][0].item<float>(), collectives.rank() + 1);
    buckets.expect();
    backward();
    buckets.finish();
    for (const torch::Tensor& parameter : parameters)  // 2 x 1 + 2 x 2
      EXPECT_TRUE(torch::equal(parameter.grad(), torch::full_like(parameter.detach(), 6)));
  });
}

/// What a backend like NCCL's gives: work that goes on while the host does.
class FakeWork : public c10d::Work {
 public:
  FakeWork(int64_t polls, const std::string& error)
      : c10d::Work(0, c10d::OpType::ALLREDUCE), polls_(polls) {
    if (!error.empty()) exception_ = std::make_exception_ptr(std::runtime_error(error));
  }
  bool isCompleted() override { return polls_-- <= 0; }
  bool wait(std::chrono::milliseconds) override {
    waited = true;
    return true;
  }
  bool waited = false;

 private:
  int64_t polls_;
};

class FakeBackend : public c10d::Backend {
 public:
  using c10d::Backend::Backend;
};

/// The message of a lost peer after a wait for work, or "".
std::string wait_for(const c10::intrusive_ptr<FakeWork>& work) {
  std::string reported;
  Collectives collectives(AsynchronousBackend{c10::make_intrusive<FakeBackend>(0, 2)},
                          {.rank = 0,
                           .size = 2,
                           .timeout = std::chrono::milliseconds(50),
                           .on_failure = [&](const std::string& what) { reported = what; }});
  try {
    collectives.wait(work);
  } catch (const PeerError& error) {
    EXPECT_THAT(error.what(), HasSubstr(reported));
  }
  return reported;
}

TEST(Collectives, WaitForWorkOnAGpuAndThenOrderTheStreamsAfterIt) {
  const auto work = c10::make_intrusive<FakeWork>(3, "");
  EXPECT_EQ(wait_for(work), "");
  EXPECT_TRUE(work->waited);
}

TEST(Collectives, ReportAPeerWhoseWorkOnAGpuNeverEnds) {
  const auto work = c10::make_intrusive<FakeWork>(1'000'000'000, "");
  EXPECT_THAT(wait_for(work), HasSubstr("took more than 50 ms"));
  EXPECT_FALSE(work->waited);  // it would take down the connections, and might never return
}

TEST(Collectives, ReportWhatBrokeOnAGpu) {
  const auto work = c10::make_intrusive<FakeWork>(2, "NCCL error: remote process exited\nstack");
  EXPECT_EQ(wait_for(work), "NCCL error: remote process exited");
  EXPECT_FALSE(work->waited);
}

}  // namespace
}  // namespace fathom
