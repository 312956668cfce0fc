// A request to stop, set from a signal handler and polled by every long loop.
#pragma once

#include <atomic>

#include "fathom/base/error.h"

namespace fathom {

/// Holds the number of the signal that asked to stop, or 0. Safe to set from a signal handler.
class StopFlag {
 public:
  void request(int signal) { signal_.store(signal, std::memory_order_relaxed); }
  /// 0 while nobody asked.
  int signal() const { return signal_.load(std::memory_order_relaxed); }
  bool requested() const { return signal() != 0; }
  /// @throws Interrupted once a stop was requested
  void check() const {
    if (requested()) throw Interrupted(signal());
  }

 private:
  std::atomic<int> signal_{0};
};

}  // namespace fathom
