// An end for waits that have none of their own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "fathom/base/stop.h"

namespace fathom {

/// Says what went wrong and ends the process at once. Not exit: the main thread may be stuck.
[[noreturn]] void end_process(const std::string& message, int exit_code);

/// While it lives, the process ends where that takes too long. LibTorch's store waits without end
/// for a host that takes its connection and never answers, so that nothing else can be done.
class Deadline {
 public:
  /// @param stop shortens the limit to a moment once it is requested; null: nothing does
  /// @param expire ends the process, from another thread
  Deadline(std::chrono::milliseconds limit, const StopFlag* stop, std::function<void()> expire);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  void watch(std::chrono::milliseconds limit, const StopFlag* stop,
             const std::function<void()>& expire);

  std::mutex mutex_;
  std::condition_variable met_;
  bool is_met_ = false;
  std::thread watching_;
};

}  // namespace fathom
