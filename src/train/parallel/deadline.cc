#include "deadline.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "fathom/base/log.h"

namespace fathom {

void end_process(const std::string& message, int exit_code) {
  Log().error(message);
  ::_exit(exit_code);
}

Deadline::Deadline(std::chrono::milliseconds limit, const StopFlag* stop,
                   std::function<void()> expire)
    : watching_([this, limit, stop, expire = std::move(expire)] { watch(limit, stop, expire); }) {}

Deadline::~Deadline() {
  {
    const std::lock_guard lock(mutex_);
    is_met_ = true;
  }
  met_.notify_all();
  watching_.join();
}

void Deadline::watch(std::chrono::milliseconds limit, const StopFlag* stop,
                     const std::function<void()>& expire) {
  constexpr std::chrono::milliseconds kLook{100}, kMoment{500};
  auto end = std::chrono::steady_clock::now() + limit;
  bool stopping = false;
  std::unique_lock lock(mutex_);
  while (!met_.wait_for(lock, kLook, [this] { return is_met_; })) {
    const auto now = std::chrono::steady_clock::now();
    if (!std::exchange(stopping, stop != nullptr && stop->requested()) && stopping)
      end = std::min(end, now + kMoment);
    if (now >= end) expire();
  }
}

}  // namespace fathom
