// Notices that another rank is gone, and ends this process when it is.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "store.h"

namespace fathom {

/// What a rank tells the others about itself, some times a second.
struct Heartbeat {
  int64_t beats = -1;       ///< counts up while the process runs; -1: none came yet
  int64_t collectives = 0;  ///< begun so far: the rank that others wait for has begun the fewest
  int64_t step = 0;
  std::string phase = "start";
};

/// Two threads: one exchanges heartbeats through the store, the other makes sure that the first
/// isn't stuck in it, also while both are about to end. Each rank watches rank 0 and its neighbour;
/// the first to notice a loss leaves a note in the store that ends all ranks with the same message
/// and exit code 7.
class Watchdog {
 public:
  /// @param store a connection of its own: others may block theirs
  Watchdog(StorePointer store, const Launch& launch, std::chrono::milliseconds timeout);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void set_step(int64_t step) { step_ = step; }
  /// @param phase a literal
  void enter(const char* phase) { phase_ = phase; }
  void begin_collective() { ++collectives_; }

  /// A collective failed: finds out whose fault it is and ends the process. Also for threads of
  /// Gloo, whose errors would otherwise abort it.
  [[noreturn]] void suspect(const std::string& what);
  /// This rank ends by itself with `exit_code`; the others are told why.
  void announce(int exit_code, const std::string& message);
  /// The run is over on all ranks. Whoever opened the store stays until all have left it.
  void leave();

 private:
  using Clock = std::chrono::steady_clock;
  struct Life {
    Heartbeat last;
    Clock::time_point seen;  // when `last` changed
  };
  struct Note {
    int exit_code;
    std::string message;
  };

  void exchange();
  void guard();
  void publish();
  void observe();
  std::vector<int64_t> watched() const;
  std::string verdict();
  std::optional<Note> read_note();
  void leave_note(const Note& note);
  void obey(const Note& note);
  [[noreturn]] void end(const Note& note);
  void stay_for_others(std::chrono::milliseconds limit);
  void stop();
  bool rest(std::chrono::milliseconds time);
  std::string describe(int64_t rank) const;
  std::string keeper() const;
  Note lost_keeper() const;

  StorePointer store_;
  const Launch launch_;
  const std::chrono::milliseconds timeout_, period_;
  std::atomic<int64_t> step_{0}, collectives_{0};
  std::atomic<const char*> phase_{"start"};
  int64_t beats_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool leaving_ = false;
  bool exchange_ended_ = false;
  std::string suspicion_;
  Clock::time_point suspected_{}, last_exchange_ = Clock::now();
  std::vector<Life> lives_;  // by rank; of the exchanging thread
  std::thread exchanging_, guarding_;
};

}  // namespace fathom
