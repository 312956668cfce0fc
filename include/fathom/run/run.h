// A whole training run: what `train-llm train` does.
//
//   StopFlag stop;
//   Parallel parallel(Launch{}, config.parallel, stop, "");  // one process
//   Run run(config, parallel);
//   run.add(mine);  // an Observer of one's own
//   run.train();
//
// Its parts stand alone, too: run_data.h (text to batches), run_start.h (the state to train from),
// observers.h (what happens beside training), train/trainer.h (the loop).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "fathom/base/log.h"
#include "fathom/config/run_config.h"
#include "fathom/run/choices.h"
#include "fathom/run/run_data.h"
#include "fathom/train/observer.h"
#include "fathom/train/parallel.h"

namespace fathom {

struct RunOptions {
  std::string resume = "auto";     ///< auto: from the newest valid checkpoint of train.out_dir, if
                                   ///< any; never: a new run; or the directory of a checkpoint
  int64_t stop_after = INT64_MAX;  ///< save after this step and end, to be resumed
  Choices choices = config_choices();
};

class Run {
 public:
  /// Takes train.out_dir for itself, finds the checkpoint to go on from, prepares what isn't
  /// prepared yet of the data, and builds the model. Together with all ranks.
  /// @param parallel outlives it
  /// @throws BusyError if another run has the directory; ConfigError, DataError, CheckpointError,
  /// DiskError, Interrupted; TrainingError if the model isn't what its plan says
  Run(RunConfig config, Parallel& parallel, RunOptions options = {});
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// Whether nothing is left to train, and only the model is left of the run's state: then there is
  /// no `state`, and `train` does nothing.
  bool is_over() const;
  /// The config, with what it leaves to the data settled.
  const RunConfig& config() const;
  const RunData& data() const;
  /// What is trained: new, or as it was at the checkpoint.
  TrainState& state();

  /// An observer of one's own; it is called before the run's. @param observer outlives the run
  void add(Observer& observer);
  /// Trains up to the last step, or to stop_after.
  /// @throws Interrupted after a signal, once what there is was saved; Divergence, DiskError
  void train();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// What a rank trains with: its share of the batch and of the cores.
/// @throws ConfigError where the batch can't be shared evenly
RunConfig config_of_rank(RunConfig config, const Launch& launch);

}  // namespace fathom
