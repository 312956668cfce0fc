#include "watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <sstream>

#include "deadline.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLostAfter{1000};  // silence of a rank, once a collective has failed
constexpr milliseconds kDecideAfter{1300};
constexpr milliseconds kGrace{500};  // for a rank to end by itself, with its own message
constexpr milliseconds kStay{700};   // for others to read the note
constexpr const char* kNote = "note";
constexpr const char* kGone = "gone";

std::string beat_key(int64_t rank) { return cat("beat/", rank); }

// A terminate handler can reach nothing but globals.
std::atomic<Watchdog*> watchdog_of_process{nullptr};

/// Gloo throws on threads of its own where ranks disagree about a collective: nobody could catch.
[[noreturn]] void on_terminate() {
  std::string what = "an unknown error";
  try {
    if (const std::exception_ptr error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {
  }
  if (Watchdog* watchdog = watchdog_of_process.load()) watchdog->suspect(what);
  std::abort();
}

}  // namespace

Watchdog::Watchdog(StorePointer store, const Launch& launch, milliseconds timeout)
    : store_(std::move(store)),
      launch_(launch),
      timeout_(timeout),
      period_(std::clamp(timeout / 16, milliseconds(50), milliseconds(500))),
      lives_(static_cast<size_t>(launch.world_size), Life{{}, Clock::now()}) {
  publish();
  watchdog_of_process = this;
  std::set_terminate(on_terminate);
  exchanging_ = std::thread([this] { exchange(); });
  guarding_ = std::thread([this] { guard(); });
}

Watchdog::~Watchdog() { stop(); }

void Watchdog::stop() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  changed_.notify_all();
  if (exchanging_.joinable()) exchanging_.join();
  {
    const std::lock_guard lock(mutex_);
    exchange_ended_ = true;
  }
  changed_.notify_all();
  if (guarding_.joinable()) guarding_.join();
  watchdog_of_process = nullptr;
}

/// Waits. @returns whether this rank goes on watching
bool Watchdog::rest(milliseconds time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [this] { return leaving_; });
  return !leaving_;
}

void Watchdog::exchange() {
  try {
    do {
      publish();
      observe();
      if (const std::optional<Note> note = read_note()) {
        obey(*note);
      } else if (const std::string lost = verdict(); !lost.empty()) {
        leave_note({PeerError("").exit_code(), lost});
      }
      const std::lock_guard lock(mutex_);
      last_exchange_ = Clock::now();
    } while (rest(period_));
  } catch (const std::exception&) {
    if (!rest(milliseconds(0))) return;
    end({PeerError("").exit_code(), cat(keeper(), " was lost: its connection broke")});
  }
}

void Watchdog::guard() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, period_, [this] { return exchange_ended_; })) {
    if (Clock::now() - last_exchange_ >= timeout_) end(lost_keeper());
  }
}

void Watchdog::publish() {
  store_->set(beat_key(launch_.rank),
              cat(++beats_, " ", collectives_.load(), " ", step_.load(), " ", phase_.load()));
}

std::vector<int64_t> Watchdog::watched() const {
  std::vector<int64_t> ranks;
  for (int64_t rank = 0; rank < launch_.world_size; ++rank) {
    const bool near = rank == 0 || rank == (launch_.rank + 1) % launch_.world_size;
    if (rank != launch_.rank && (near || !suspicion_.empty())) ranks.push_back(rank);
  }
  return ranks;
}

void Watchdog::observe() {
  std::unique_lock lock(mutex_);
  const std::vector<int64_t> ranks = watched();
  lock.unlock();  // the store may never answer
  for (const int64_t rank : ranks) {
    if (!store_->check({beat_key(rank)})) continue;
    std::istringstream text(store_->get_to_str(beat_key(rank)));
    Heartbeat now;
    text >> now.beats >> now.collectives >> now.step >> std::ws;
    std::getline(text, now.phase);
    lock.lock();
    Life& life = lives_[static_cast<size_t>(rank)];
    if (now.beats != life.last.beats) life = {now, Clock::now()};
    lock.unlock();
  }
}

std::string Watchdog::describe(int64_t rank) const {
  const Heartbeat& last = lives_[static_cast<size_t>(rank)].last;
  return cat("rank ", rank, " (last seen at step ", last.step, ", phase ", last.phase, ")");
}

/// Who is lost when the store is.
std::string Watchdog::keeper() const {
  return launch_.launcher_store ? "the launcher, which keeps the ranks' store," : describe(0);
}

Watchdog::Note Watchdog::lost_keeper() const {
  return {PeerError("").exit_code(),
          cat(keeper(), " was lost: it hasn't answered for ", timeout_.count() / 1000, " s")};
}

/// Who is lost, in words, or "".
std::string Watchdog::verdict() {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  const bool suspicious = !suspicion_.empty();
  std::vector<std::string> silent, behind;
  for (const int64_t rank : watched()) {
    const Life& life = lives_[static_cast<size_t>(rank)];
    const bool never_seen = life.last.beats < 0;  // it wasn't watched, or is about to join
    if (never_seen && !suspicious) continue;
    const auto silence = now - (never_seen ? suspected_ : life.seen);
    if (silence > (suspicious ? kLostAfter : timeout_)) silent.push_back(describe(rank));
    if (life.last.collectives < collectives_) behind.push_back(describe(rank));
  }
  if (!silent.empty()) return cat(join(silent, " and "), " was lost: no sign of life");
  if (!suspicious || now - suspected_ < kDecideAfter) return "";
  if (!behind.empty())
    return cat(join(behind, " and "), " was lost: it lives, but takes no part for ",
               timeout_.count() / 1000, " s (parallel.timeout_seconds)");
  std::vector<std::string> others;
  for (const int64_t rank : watched()) others.push_back(describe(rank));
  return cat("rank ", launch_.rank, " (step ", step_.load(), ", phase ", phase_.load(), ") and ",
             join(others, " and "), " lost each other: ", suspicion_);
}

std::optional<Watchdog::Note> Watchdog::read_note() {
  if (!store_->check({kNote})) return std::nullopt;
  std::istringstream text(store_->get_to_str(kNote));
  Note note{};
  text >> note.exit_code >> std::ws;
  std::getline(text, note.message);
  return note;
}

/// The first note counts.
void Watchdog::leave_note(const Note& note) {
  std::string message = note.message;
  std::replace(message.begin(), message.end(), '\n', ' ');
  store_->compareSet(kNote, "", cat(note.exit_code, " ", message));
}

/// Ends the process as a note says, unless it ends by itself: an error that all ranks find, such as
/// a loss that isn't finite, takes each its own time to explain.
void Watchdog::obey(const Note& note) {
  const int everywhere = TrainingError("").exit_code();
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, note.exit_code == everywhere ? timeout_ : kGrace,
                    [this] { return leaving_ || !suspicion_.empty(); });
  if (leaving_) return;
  lock.unlock();
  stay_for_others(kStay);
  constexpr int kSignals = 128;  // a signal that stops one rank stops all
  end({note.exit_code > kSignals ? note.exit_code : PeerError("").exit_code(), note.message});
}

void Watchdog::end(const Note& note) {
  end_process(cat("rank ", launch_.rank, " stops at step ", step_.load(), ": ", note.message),
              note.exit_code);
}

/// The store ends with the process that opened it, and with it the note that others need.
void Watchdog::stay_for_others(milliseconds limit) {
  const bool keeps = launch_.rank == 0 && !launch_.launcher_store;
  const auto until = Clock::now() + limit;
  try {
    int64_t gone = store_->add(kGone, 1);
    while (keeps && gone < launch_.world_size && Clock::now() < until) {
      ::usleep(5'000);
      gone = store_->add(kGone, 0);
    }
  } catch (const std::exception&) {  // it ended before: nobody is left to wait for
  }
}

void Watchdog::suspect(const std::string& what) {
  {
    const std::lock_guard lock(mutex_);
    suspicion_ = what.substr(0, what.find('\n'));
    suspected_ = Clock::now();
  }
  changed_.notify_all();
  while (true) ::pause();
}

void Watchdog::announce(int exit_code, const std::string& message) {
  const Deadline deadline(timeout_, nullptr, [&] { end({exit_code, message}); });
  stop();
  try {
    leave_note({exit_code, cat("rank ", launch_.rank, " (last seen at step ", step_.load(),
                               ", phase ", phase_.load(), ") failed: ", message)});
  } catch (const std::exception&) {  // nobody is left to tell
  }
  stay_for_others(kStay);
}

void Watchdog::leave() {
  const Deadline deadline(2 * timeout_, nullptr, [this] { end(lost_keeper()); });
  stop();
  stay_for_others(timeout_);
}

}  // namespace fathom
