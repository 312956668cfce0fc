#include "fathom/train/parallel.h"

#include <ATen/Functions.h>
#include <c10/util/Logging.h>

#include <algorithm>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include "collectives.h"
#include "fathom/base/error.h"
#include "fathom/kernels/cuda_library.h"
#include "gradients.h"
#include "store.h"
#include "watchdog.h"

namespace fathom {
namespace {

/// As large as a message must be for its latency not to count; PyTorch's DDP has the same.
constexpr int64_t kBucketBytes = 25 << 20;

/// Rows [begin, end) of a [rows, length] array; empty stays empty.
template <typename T>
std::vector<T> rows_of(const std::vector<T>& values, int64_t begin, int64_t end, int64_t length) {
  if (values.empty()) return {};
  return {values.begin() + begin * length, values.begin() + end * length};
}

/// The error that another rank met. DiskError keeps its type: a checkpoint that isn't written
/// doesn't end a run.
[[noreturn]] void throw_again(int exit_code, const std::string& message) {
  if (exit_code == DiskError("").exit_code()) throw DiskError(message);
  throw Error(message, exit_code);
}

}  // namespace

struct Parallel::Peers {
  Peers(const Launch& launch, std::chrono::milliseconds timeout, const StopFlag& stop)
      : store(connect_store(launch, timeout, launch.rank == 0 && !launch.launcher_store, stop)),
        watchdog(connect_store(launch, timeout, false, stop), launch, timeout) {}

  StorePointer store;
  Watchdog watchdog;
  std::unique_ptr<Collectives> collectives{};      // of tensors on the CPU
  std::unique_ptr<Collectives> gpu_collectives{};  // or null
  std::unique_ptr<GradientBuckets> buckets{};
  Collectives::Pending loss{};
  int64_t answers = 0;  // of rank 0, so far
  bool left = false;

  /// Uses the store. It breaks when its keeper is lost: then the watchdog ends the process.
  template <typename Call>
  auto reach(const Call& call) {
    try {
      return call();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      watchdog.suspect(error.what());
    }
  }
  GroupOptions group_options(const Launch& launch, const ParallelConfig& config);
  void connect_gpus(const Launch& launch, const ParallelConfig& config, const StopFlag& stop);
  /// Of the model's tensors.
  Collectives& on_device() { return gpu_collectives ? *gpu_collectives : *collectives; }
  void join(const Launch& launch, std::chrono::milliseconds timeout, const StopFlag& stop,
            const std::string& run);
};

GroupOptions Parallel::Peers::group_options(const Launch& launch, const ParallelConfig& config) {
  return {.rank = launch.rank,
          .size = launch.world_size,
          .timeout = std::chrono::seconds(config.timeout_seconds),
          .address = own_address(launch),
          .interface = launch.interface,
          .on_begin = [this] { watchdog.begin_collective(); },
          .on_failure = [this](const auto& what) { watchdog.suspect(what); }};
}

void Parallel::Peers::connect_gpus(const Launch& launch, const ParallelConfig& config,
                                   const StopFlag& stop) {
  const LoadedCudaLibrary& loaded = cuda_library();
  if (loaded.library == nullptr)
    throw ConfigError(cat("several processes train on GPUs through NCCL, but ", loaded.problem));
  GroupOptions options = group_options(launch, config);
  // Its own connection: NCCL's set-up may wait in it.
  const StorePointer nccl_store = c10::make_intrusive<c10d::PrefixStore>(
      "nccl", connect_store(launch, options.timeout, /*host=*/false, stop));
  AsynchronousBackend nccl{
      loaded.library->connect_nccl({.store = nccl_store,
                                    .rank = static_cast<int>(launch.rank),
                                    .size = static_cast<int>(launch.world_size),
                                    .timeout = options.timeout})};
  gpu_collectives = std::make_unique<Collectives>(std::move(nccl), std::move(options));
}

/// Waits for every rank, and checks that all run the same.
void Parallel::Peers::join(const Launch& launch, std::chrono::milliseconds timeout,
                           const StopFlag& stop, const std::string& run) {
  const auto key = [](int64_t rank) { return cat("joined/", rank); };
  store->set(key(launch.rank), run);
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::vector<std::string> missing;
  for (int64_t rank = 0; rank < launch.world_size; ++rank) {
    const auto left_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (!wait_for_key(*store, key(rank), left_ms, stop)) missing.push_back(cat(rank));
  }
  if (!missing.empty())
    throw PeerError(cat("rank ", fathom::join(missing), " of ", launch.world_size,
                        " never joined within ", timeout.count() / 1000,
                        " s (parallel.timeout_seconds)"));
  for (int64_t rank = 1; rank < launch.world_size; ++rank) {
    if (store->get_to_str(key(rank)) != store->get_to_str(key(0)))
      throw ConfigError(cat("rank ", rank,
                            " has another config, flags or version than rank 0; "
                            "start all ranks with the same command"));
  }
}

Parallel::Parallel(const Launch& launch, const ParallelConfig& config, StopFlag& local,
                   const std::string& run)
    : launch_(launch), config_(config), local_(local) {
  if (size() == 1) return;
  FLAGS_caffe2_log_level = c10::GLOG_ERROR;  // a lost peer has one message, ours
  const std::chrono::seconds timeout(config.timeout_seconds);
  peers_ = std::make_unique<Peers>(launch, timeout, local);
  try {
    enter("meeting the others");
    peers_->reach([&] { peers_->join(launch, timeout, local, run); });
    peers_->collectives =
        std::make_unique<Collectives>(c10::make_intrusive<c10d::PrefixStore>("gloo", peers_->store),
                                      peers_->group_options(launch, config));
  } catch (const Error& error) {
    fail(error.exit_code(), error.what());
    throw;
  }
}

Parallel::~Parallel() {
  if (peers_ && !peers_->left) fail(1, "it ended early");
}

Shard Parallel::optimizer_shard() const {
  return config_.zero_stage == 0 ? Shard{} : Shard{rank(), size()};
}

void Parallel::enter(const char* phase) {
  if (peers_) peers_->watchdog.enter(phase);
}

std::string Parallel::on_main(const char* phase, const std::function<std::string()>& work) {
  if (!peers_) return work();
  enter(phase);
  const std::string key = cat("answer/", peers_->answers++);
  if (is_main()) {
    std::string answer;
    try {
      answer = work();
    } catch (const Interrupted&) {
      throw;  // `fail` tells the others
    } catch (const Error& error) {
      peers_->store->set(key, cat(error.exit_code(), "\n", error.what()));
      throw;
    }
    peers_->store->set(key, "0\n" + answer);
    return answer;
  }
  // Its own signals count until the ranks agree on them step by step.
  const StopFlag never;
  const StopFlag& stop = state_ == nullptr ? local_ : never;
  constexpr std::chrono::hours kForever(1 << 20);  // as long as the watchdog lets it
  const std::string answer = peers_->reach([&] {
    wait_for_key(*peers_->store, key, kForever, stop);
    return peers_->store->get_to_str(key);
  });
  const size_t line = answer.find('\n');
  const int exit_code = std::stoi(answer.substr(0, line));
  if (exit_code != 0) throw_again(exit_code, answer.substr(line + 1));
  return answer.substr(line + 1);
}

void Parallel::agree() {
  if (!peers_) return;
  const int64_t save = local_.take_save_request() ? 1 : 0;
  const torch::Tensor asked = torch::tensor({int64_t{local_.signal()}, save, step_ms_});
  peers_->collectives->max(asked);
  if (const auto signal = asked[0].item<int64_t>(); signal != 0)
    agreed_.request(static_cast<int>(signal));
  if (asked[1].item<int64_t>() != 0) agreed_.request_save();
  step_ms_ = asked[2].item<int64_t>();
}

void Parallel::agree_within_step(int64_t part, int64_t num_parts) {
  constexpr int64_t kAgreeMs = 1000;  // agreeing takes a message to each rank and back
  const int64_t parts_between =
      step_ms_ == 0 ? 1 : std::max<int64_t>(1, num_parts * kAgreeMs / step_ms_);
  if (part % parts_between == 0) agree();
}

void Parallel::sum(torch::Tensor tensor) {
  if (peers_) peers_->collectives->sum(tensor);
}

void Parallel::attach(TrainState& state) {
  state_ = &state;
  if (!peers_) return;
  if (state.model->device().is_cuda()) peers_->connect_gpus(launch_, config_, local_);
  peers_->buckets = std::make_unique<GradientBuckets>(state.model->parameters(),
                                                      peers_->on_device(), kBucketBytes);
}

void Parallel::begin_step(int64_t step) {
  using std::chrono::milliseconds;
  const auto now = std::chrono::steady_clock::now();
  if (step_began_)
    step_ms_ = std::chrono::duration_cast<milliseconds>(now - *step_began_).count() + 1;
  step_began_ = now;
  peers_->watchdog.set_step(step);
  enter("training");
  agree();
}

Batch Parallel::share(const Batch& batch) const {
  const int64_t begin = batch.rows * rank() / size(), end = batch.rows * (rank() + 1) / size();
  return {.rows = end - begin,
          .length = batch.length,
          .input = rows_of(batch.input, begin, end, batch.length),
          .target = rows_of(batch.target, begin, end, batch.length),
          .document = rows_of(batch.document, begin, end, batch.length),
          .tokens = batch.tokens,
          .targets = batch.targets};
}

void Parallel::expect_gradients(const torch::Tensor& loss) {
  loss_ = loss.clone();
  peers_->loss = peers_->on_device().start_sum(loss_);
  peers_->buckets->expect();
}

torch::Tensor Parallel::finish_gradients() {
  peers_->on_device().wait(peers_->loss);
  peers_->buckets->finish();
  const int64_t interval = config_.checksum_interval, step = state_->step + 1;
  if (interval > 0 && (!std::exchange(checked_, true) || step % interval == 0)) {
    const std::string found = find_difference(state_->optimizer.states(), *peers_->collectives);
    if (!found.empty())
      throw TrainingError(cat("step ", step, ": ", found,
                              ", though all ranks computed the same: memory or network of a host "
                              "is faulty. Resume from the last checkpoint without it"));
  }
  return loss_;
}

void Parallel::share_update() {
  if (config_.zero_stage > 0)
    broadcast_from_owners(state_->optimizer.states(), peers_->on_device(), kBucketBytes);
}

void Parallel::gather_optimizer_state() {
  if (!peers_ || config_.zero_stage == 0) return;
  for (ParameterState& state : state_->optimizer.states()) {
    if (state.owner == 0) continue;
    for (StateTensor& kept : state.kept) {
      torch::Tensor& value = kept.value;
      if (state.owner == rank()) peers_->collectives->send(value.cpu().contiguous(), 0);
      if (!is_main()) continue;
      value = torch::empty(value.sizes(), value.options().device(torch::kCPU));
      peers_->collectives->receive(value, state.owner);
    }
  }
}

void Parallel::release_optimizer_state() {
  if (!peers_ || config_.zero_stage == 0) return;
  for (ParameterState& state : state_->optimizer.states()) {
    if (state.owner == rank()) continue;
    for (StateTensor& kept : state.kept) kept.value = kept.value.to(torch::kMeta);
  }
}

void Parallel::leave() {
  if (!peers_) return;
  enter("end");
  peers_->collectives->sum(torch::zeros({1}));  // all have come this far
  peers_->watchdog.leave();
  peers_->left = true;
  if (peers_->gpu_collectives) peers_->gpu_collectives->abandon();
}

void Parallel::fail(int exit_code, const std::string& message) {
  if (!peers_ || peers_->left) return;
  peers_->left = true;
  peers_->watchdog.announce(exit_code, message);
  for (const auto* group : {&peers_->collectives, &peers_->gpu_collectives}) {
    if (*group) (*group)->abandon();
  }
}

}  // namespace fathom
