// A reader, many workers and a consumer: pieces of work are done in parallel and come out in order.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "fathom/base/stop.h"

namespace fathom {

/// Runs `read` on a thread, `work` on several, and `consume` on the caller's, in the order of
/// `read`. `Job` and `Result` are movable. An exception of any of them ends the pipeline; when
/// several fail, the one that comes first in order is thrown.
template <typename Job, typename Result>
class Pipeline {
 public:
  struct Stages {
    std::function<std::optional<Job>()> read;  ///< nothing = the end
    std::function<Result(Job)> work;           ///< called from several threads
    std::function<void(Result)> consume;
    std::function<size_t(const Job&)> weight;  ///< bytes that a job stands for
  };

  /// @param max_weight the reader waits while more than this is between it and the consumer; a
  /// heavier job passes alone
  Pipeline(Stages stages, int num_workers, size_t max_weight)
      : stages_(std::move(stages)), max_weight_(max_weight) {
    threads_.reserve(static_cast<size_t>(num_workers) + 1);
    try {
      threads_.emplace_back([this] { read_all(); });
      for (int i = 0; i < num_workers; ++i) threads_.emplace_back([this] { work_all(); });
    } catch (...) {
      cancel();
      throw;
    }
  }
  ~Pipeline() { cancel(); }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Consumes everything. @throws what a stage threw; Interrupted
  void run(const StopFlag& stop) {
    for (uint64_t next = 0;; ++next) {
      std::optional<Done> done = wait_for(next, stop);
      if (!done) return;
      if (done->error) std::rethrow_exception(done->error);
      stages_.consume(std::move(*done->result));
      const std::lock_guard lock(mutex_);
      weight_ -= done->weight;
      changed_.notify_all();
    }
  }

 private:
  struct Queued {
    uint64_t number = 0;
    Job job;
    size_t weight = 0;
  };
  struct Done {
    std::unique_ptr<Result> result;
    std::exception_ptr error;
    size_t weight = 0;
  };

  void read_all() {
    uint64_t number = 0;
    try {
      while (std::optional<Job> job = stages_.read()) {
        const size_t weight = stages_.weight(*job);
        std::unique_lock lock(mutex_);
        changed_.wait(
            lock, [&] { return cancelled_ || weight_ == 0 || weight_ + weight <= max_weight_; });
        if (cancelled_) return;
        weight_ += weight;
        queue_.push_back({number++, std::move(*job), weight});
        changed_.notify_all();
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      done_[number++] = {nullptr, std::current_exception(), 0};
    }
    const std::lock_guard lock(mutex_);
    num_jobs_ = number;
    changed_.notify_all();
  }

  void work_all() {
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return cancelled_ || !queue_.empty() || num_jobs_; });
      if (cancelled_ || queue_.empty()) return;
      Queued queued = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      Done done{nullptr, nullptr, queued.weight};
      try {
        done.result = std::make_unique<Result>(stages_.work(std::move(queued.job)));
      } catch (...) {
        done.error = std::current_exception();
      }
      lock.lock();
      done_[queued.number] = std::move(done);
      changed_.notify_all();
    }
  }

  /// @returns nothing after the last result
  std::optional<Done> wait_for(uint64_t number, const StopFlag& stop) {
    std::unique_lock lock(mutex_);
    while (true) {
      stop.check();
      const auto found = done_.find(number);
      if (found != done_.end()) {
        Done done = std::move(found->second);
        done_.erase(found);
        return done;
      }
      if (num_jobs_ && number >= *num_jobs_) return std::nullopt;
      changed_.wait_for(lock, std::chrono::milliseconds(100));
    }
  }

  void cancel() {
    {
      const std::lock_guard lock(mutex_);
      cancelled_ = true;
      changed_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  Stages stages_;
  size_t max_weight_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Queued> queue_;
  std::map<uint64_t, Done> done_;
  size_t weight_ = 0;
  std::optional<uint64_t> num_jobs_;
  bool cancelled_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace fathom
