// Data parallel training: several processes ("ranks"), each with the whole model, that train on
// their share of every batch.
//
//   Parallel parallel(launch, config.parallel, stop, sha256(dump));  // all ranks meet here
//   const std::string made = parallel.on_main("preparing data", [&] { return prepare(); });
//   parallel.attach(state);
//   train(config, state, batches, observers, parallel.stop(), INT64_MAX, &parallel);
//   parallel.leave();
#pragma once

#include <torch/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "fathom/base/stop.h"
#include "fathom/config/run_config.h"
#include "fathom/data/batch.h"
#include "fathom/data/loader.h"
#include "fathom/train/launch.h"
#include "fathom/train/state.h"

namespace fathom {

/// The ranks of a run. Where there is one, every call does its work alone and at once.
///
/// A rank that dies, hangs or fails ends all others: a thread watches the ranks' signs of life,
/// prints which rank was lost, its last step and what it did then, and ends the process with exit
/// code 7. Calls that involve all ranks ("together") are made by all, in the same order.
class Parallel {
 public:
  /// Meets the others.
  /// @param local set by the signals of this process
  /// @param run what all ranks must agree on, such as a checksum of the config
  /// @throws ConfigError if a rank runs something else; PeerError if one doesn't join in time
  Parallel(const Launch& launch, const ParallelConfig& config, StopFlag& local,
           const std::string& run);
  ~Parallel();
  Parallel(const Parallel&) = delete;
  Parallel& operator=(const Parallel&) = delete;

  int64_t rank() const { return launch_.rank; }
  int64_t size() const { return launch_.world_size; }
  int64_t local_rank() const { return launch_.local_rank; }
  /// The one rank that writes.
  bool is_main() const { return rank() == 0; }
  /// This, or null where there is one process: what train and train_step take.
  Parallel* if_several() { return size() > 1 ? this : nullptr; }
  /// Who shares the optimizer's state.
  Shard optimizer_shard() const;
  /// What all ranks agreed on that signals asked for.
  StopFlag& stop() { return peers_ ? agreed_ : local_; }
  /// What signals asked this process for.
  StopFlag& local_stop() const { return local_; }

  /// Says what this rank does now, for the others' messages. @param phase a literal
  void enter(const char* phase);
  /// Together: rank 0 works while the others wait, as long as it takes. What it throws, all throw.
  /// @returns what `work` returned
  std::string on_main(const char* phase, const std::function<std::string()>& work);
  /// Together: what any rank was asked for; sets `stop()` on all.
  void agree();
  /// Together: `agree`, between two micro-batches of a step; not at each where they are quick.
  /// @param part micro-batches of the step that are done, of `num_parts`
  void agree_within_step(int64_t part, int64_t num_parts);
  /// Together: the sum over the ranks, in place. @param tensor on the CPU
  void sum(torch::Tensor tensor);

  /// Gradients of this state are shared from now on: through Gloo on a CPU, through NCCL on a GPU.
  /// It outlives this object's last use.
  void attach(TrainState& state);
  /// Together: step `step` (from 1) begins. Also agrees on a stop.
  void begin_step(int64_t step);
  /// This rank's rows of a global batch, with the global counts.
  Batch share(const Batch& batch) const;
  /// Together: the next backward pass is the last of the step; its gradients are added up as they
  /// come. @param loss this rank's, a scalar
  void expect_gradients(const torch::Tensor& loss);
  /// Together: waits for them. Every checksum_interval steps, and at the first, also compares them
  /// and the weights.
  /// @returns the sum of the losses
  /// @throws TrainingError that names the rank that differs, and the parameter
  torch::Tensor finish_gradients();
  /// Together: with ZeRO-1, each parameter as its owner updated it.
  void share_update();
  /// Together: rank 0 gets what the optimizer keeps for all parameters, on the CPU.
  void gather_optimizer_state();
  /// And forgets those of others.
  void release_optimizer_state();

  /// Together: the run is complete, or all agreed to stop it.
  void leave();
  /// This rank ends alone, and tells the others why. @param exit_code that it ends with
  void fail(int exit_code, const std::string& message);

 private:
  struct Peers;

  Launch launch_;
  ParallelConfig config_;
  StopFlag& local_;
  StopFlag agreed_;
  std::optional<std::chrono::steady_clock::time_point> step_began_;
  int64_t step_ms_ = 0;  // the last step took the slowest rank so long; 0: it isn't known
  TrainState* state_ = nullptr;
  torch::Tensor loss_;
  bool checked_ = false;
  std::unique_ptr<Peers> peers_;  // null where there is one process
};

/// Rank 0 has what the optimizer keeps for all parameters while this lives: what a checkpoint is
/// written from.
class GatheredState {
 public:
  explicit GatheredState(Parallel& parallel) : parallel_(parallel) {
    parallel.gather_optimizer_state();
  }
  ~GatheredState() { parallel_.release_optimizer_state(); }
  GatheredState(const GatheredState&) = delete;
  GatheredState& operator=(const GatheredState&) = delete;

 private:
  Parallel& parallel_;
};

}  // namespace fathom
