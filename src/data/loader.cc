#include "fathom/data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "fathom/base/error.h"
#include "fathom/data/internal/sampler.h"

namespace fathom {
namespace {

/// Rows [begin, end) of a global batch of `rows` that a rank gets.
struct Slice {
  int64_t begin = 0;
  int64_t end = 0;
};

Slice slice_of(int64_t rows, const Shard& shard) {
  return {rows * shard.rank / shard.world_size, rows * (shard.rank + 1) / shard.world_size};
}

}  // namespace

void require_even_split(int64_t global_batch_size, int64_t world_size) {
  if (global_batch_size % world_size != 0)
    throw ConfigError(cat("train.global_batch_size is ", global_batch_size,
                          "; it must be a multiple of the number of processes (", world_size, ")"));
}

Loader::Loader(std::vector<TokenFile> files, const DataConfig& config, int64_t global_batch_size,
               Shard shard)
    : rows_(std::move(files), config),
      seed_(static_cast<uint64_t>(config.shuffle_seed)),
      global_batch_size_(global_batch_size),
      shard_(shard) {
  require_even_split(global_batch_size, shard.world_size);
}

uint64_t Loader::row_at(uint64_t position) const {
  return permuted(seed_, position / rows_.size(), position % rows_.size(), rows_.size());
}

Batch Loader::batch(int64_t step) const {
  const Slice mine = slice_of(global_batch_size_, shard_);
  Batch batch = rows_.empty_batch(mine.end - mine.begin);
  for (int64_t i = 0; i < global_batch_size_; ++i) {
    const uint64_t row = row_at(static_cast<uint64_t>(step * global_batch_size_ + i));
    const Rows::Count count = rows_.count(row);
    batch.tokens += count.tokens;
    batch.targets += count.targets;
    if (i >= mine.begin && i < mine.end) rows_.fill(row, i - mine.begin, batch);
  }
  return batch;
}

double Loader::epochs(int64_t steps) const {
  return static_cast<double>(steps) * static_cast<double>(global_batch_size_) /
         static_cast<double>(rows_.size());
}

/// What the caller and the thread share.
struct PrefetchingLoader::State {
  struct Made {
    Batch batch;
    std::exception_ptr error;
  };

  State(const Loader& loader_in, int64_t first_step, int64_t depth_in)
      : loader(loader_in),
        depth(static_cast<size_t>(std::max<int64_t>(1, depth_in))),
        step(first_step) {}

  void make_all() {
    while (true) {
      Made made;
      try {
        made.batch = loader.batch(step++);
      } catch (...) {
        made.error = std::current_exception();
      }
      const bool failed = made.error != nullptr;
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return stopped || ready.size() < depth; });
      if (stopped) return;
      ready.push_back(std::move(made));
      changed.notify_all();
      if (failed) return;
    }
  }

  const Loader& loader;
  size_t depth;
  int64_t step;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Made> ready;
  bool stopped = false;
  std::thread thread;
};

PrefetchingLoader::PrefetchingLoader(const Loader& loader, int64_t first_step, int64_t depth)
    : state_(std::make_unique<State>(loader, first_step, depth)) {
  state_->thread = std::thread([state = state_.get()] { state->make_all(); });
}

PrefetchingLoader::~PrefetchingLoader() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopped = true;
    state_->changed.notify_all();
  }
  state_->thread.join();
}

Batch PrefetchingLoader::next() {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return !state_->ready.empty(); });
  State::Made& made = state_->ready.front();
  if (made.error) std::rethrow_exception(made.error);  // stays there: each further call throws too
  Batch batch = std::move(made.batch);
  state_->ready.pop_front();
  state_->changed.notify_all();
  return batch;
}

EvaluationLoader::EvaluationLoader(std::vector<TokenFile> files, const DataConfig& config,
                                   int64_t rows_per_batch, Shard shard)
    : rows_(std::move(files), config), rows_per_batch_(rows_per_batch), shard_(shard) {
  while (num_rows_ < rows_.size() && num_targets_ < config.validation_tokens)
    num_targets_ += rows_.count(num_rows_++).targets;
  dropped_targets_ = std::max<int64_t>(0, num_targets_ - config.validation_tokens);
  num_targets_ -= dropped_targets_;
  if (num_targets_ == 0)
    throw DataError(
        cat("the validation data (", rows_.use().documents, " documents, ", rows_.use().tokens,
            " tokens) holds no token that can be scored: the first of a text has nothing to be "
            "predicted from; name more text"));
}

int64_t EvaluationLoader::num_batches() const {
  return (static_cast<int64_t>(num_rows_) + rows_per_batch_ - 1) / rows_per_batch_;
}

Batch EvaluationLoader::batch(int64_t index) const {
  const int64_t first = index * rows_per_batch_;
  const int64_t rows = std::min(rows_per_batch_, static_cast<int64_t>(num_rows_) - first);
  const Slice mine = slice_of(rows, shard_);
  Batch batch = rows_.empty_batch(mine.end - mine.begin);
  for (int64_t i = 0; i < rows; ++i) {
    const auto row = static_cast<uint64_t>(first + i);
    const bool is_last = row + 1 == num_rows_;
    const Rows::Count count = rows_.count(row);
    batch.tokens += count.tokens;
    batch.targets += count.targets - (is_last ? dropped_targets_ : 0);
    if (i < mine.begin || i >= mine.end) continue;
    rows_.fill(row, i - mine.begin, batch);
    if (!is_last) continue;
    const auto end = batch.target.begin() + (i - mine.begin + 1) * batch.length;
    auto target = end;
    for (int64_t dropped = 0; dropped < dropped_targets_;) {
      --target;
      dropped += *target == kIgnoredTarget ? 0 : 1;
      *target = kIgnoredTarget;
    }
  }
  return batch;
}

}  // namespace fathom
