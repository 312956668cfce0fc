#include "apps/signals.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>

namespace fathom {
namespace {

// A signal handler can reach nothing but globals: these belong to main's flag.
std::atomic<StopFlag*> stop_of_main{nullptr};
std::atomic<int64_t> first_signal_ms{0};
std::atomic<bool> stderr_is_terminal{false};

/// Writes a line of its own, from a signal handler. There may be a progress bar on this one.
void answer_signal(const char* line) {
  std::array<char, 256> text{};
  size_t size = 0;
  const auto append = [&](const char* part) {
    while (*part != 0 && size < text.size()) text[size++] = *part++;
  };
  if (*line == 0) return;
  append(stderr_is_terminal.load() ? "\r\x1b[Ktrain-llm: " : "train-llm: ");
  append(line);
  append("\n");
  [[maybe_unused]] const ssize_t nobody_to_tell = ::write(STDERR_FILENO, text.data(), size);
}

/// Whether a signal after `first` is from somebody who doesn't want to wait: a launcher that sends
/// SIGTERM some time after SIGUSR1 or SIGHUP is not.
bool is_impatient(int first, int signal) {
  return signal == SIGINT || (signal == SIGTERM && (first == SIGINT || first == SIGTERM));
}

/// The first signal asks to stop, and is answered; a second one ends the process. Signals within a
/// second are one request: torchrun passes on a Ctrl-C that the terminal has already sent to every
/// process.
extern "C" void on_signal(int signal) {
  constexpr int64_t kSameRequestMs = 1000;
  const int error_number = errno;
  StopFlag* stop = stop_of_main.load();
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t now_ms = int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
  if (!stop->requested()) {
    stop->request(signal);
    if (stop->requested()) {
      first_signal_ms.store(now_ms);
      answer_signal(stop->answer());
    }
  } else if (is_impatient(stop->signal(), signal) &&
             now_ms - first_signal_ms.load() > kSameRequestMs) {
    ::_exit(128 + signal);
  }
  errno = error_number;
}

}  // namespace

void install_signal_handlers(StopFlag& stop) {
  stop_of_main.store(&stop);
  stderr_is_terminal.store(::isatty(STDERR_FILENO) == 1);
  struct sigaction action {
  }, before{};
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = on_signal;
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) ::sigaction(signal, &action, nullptr);
  if (::sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)
    ::sigaction(SIGHUP, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  ::sigaction(SIGXFSZ, &action, nullptr);
}

}  // namespace fathom
