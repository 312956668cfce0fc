// Batches of rows, for training and evaluation.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fathom/config/run_config.h"
#include "fathom/data/batch.h"
#include "fathom/data/rows.h"
#include "fathom/data/token_file.h"

namespace fathom {

/// Which part of each global batch a process gets.
struct Shard {
  int64_t rank = 0;
  int64_t world_size = 1;
};

/// @throws ConfigError if so many ranks can't share a batch evenly
void require_even_split(int64_t global_batch_size, int64_t world_size);

/// Shuffled batches without end. A pure function of (files, config, step): the global batch is the
/// same for any number of ranks, and a resumed run goes on exactly where it was.
class Loader {
 public:
  /// @throws ConfigError if global_batch_size can't be split evenly over the ranks; DataError
  Loader(std::vector<TokenFile> files, const DataConfig& config, int64_t global_batch_size,
         Shard shard = {});

  /// This rank's rows of step `step` (from 0), with the counts of the global batch. Epochs follow
  /// each other without a gap; each has its own order.
  Batch batch(int64_t step) const;
  uint64_t rows_per_epoch() const { return rows_.size(); }
  /// Epochs that `steps` steps take.
  double epochs(int64_t steps) const;
  const Rows& rows() const { return rows_; }
  int64_t global_batch_size() const { return global_batch_size_; }

 private:
  uint64_t row_at(uint64_t position) const;

  Rows rows_;
  uint64_t seed_;
  int64_t global_batch_size_;
  Shard shard_;
};

/// Makes the batches of a loader ahead, on a thread of its own.
class PrefetchingLoader {
 public:
  /// @param depth batches that may lie ready, at least 1
  PrefetchingLoader(const Loader& loader, int64_t first_step, int64_t depth);
  /// Stops the thread, also in the middle of the data.
  ~PrefetchingLoader();
  PrefetchingLoader(const PrefetchingLoader&) = delete;
  PrefetchingLoader& operator=(const PrefetchingLoader&) = delete;

  /// The batch of the next step. @throws what making it threw
  Batch next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The first `validation_tokens` targets of the files, in file order, not shuffled: exactly so many
/// are scored (or all there are), the rest of the last row is ignored.
class EvaluationLoader {
 public:
  EvaluationLoader(std::vector<TokenFile> files, const DataConfig& config, int64_t rows_per_batch,
                   Shard shard = {});

  int64_t num_batches() const;
  const Rows& rows() const { return rows_; }
  /// Targets of the whole pass.
  int64_t num_targets() const { return num_targets_; }
  /// This rank's rows (there may be none at the end), with the counts of the global batch.
  Batch batch(int64_t index) const;

 private:
  Rows rows_;
  int64_t rows_per_batch_;
  Shard shard_;
  uint64_t num_rows_ = 0;
  int64_t num_targets_ = 0;
  int64_t dropped_targets_ = 0;  // of the last row
};

}  // namespace fathom
