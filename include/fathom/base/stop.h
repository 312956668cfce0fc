// What signals ask for: to stop, or to save and go on. Set from a signal handler and polled by
// every long loop.
#pragma once

#include <atomic>

#include "fathom/base/error.h"

namespace fathom {

/// Holds the number of the signal that asked to stop, or 0. `request`, `requested`, `signal` and
/// `answer` are safe in a signal handler.
class StopFlag {
 public:
  /// The first signal that asks to stop counts.
  void request(int signal) {
    int nobody = 0;
    if (signal == saving_signal_) {
      save_ = true;
    } else {
      signal_.compare_exchange_strong(nobody, signal);
    }
  }
  /// 0 while nobody asked.
  int signal() const { return signal_.load(std::memory_order_relaxed); }
  bool requested() const { return signal() != 0; }
  /// @throws Interrupted once a stop was requested
  void check() const {
    if (requested()) throw Interrupted(signal());
  }

  /// From now on this signal asks for a checkpoint, and the run goes on.
  void save_on(int signal) { saving_signal_ = signal; }
  /// Asks for a checkpoint.
  void request_save() { save_ = true; }
  /// Whether a checkpoint was asked for since the last call.
  bool take_save_request() { return save_.exchange(false); }

  /// What people are told as soon as they ask to stop. @param line a literal; "" = nothing
  void set_answer(const char* line) { answer_ = line; }
  const char* answer() const { return answer_; }

 private:
  std::atomic<int> signal_{0}, saving_signal_{0};
  std::atomic<bool> save_{false};
  std::atomic<const char*> answer_{"stopping; again to end at once"};
};

}  // namespace fathom
