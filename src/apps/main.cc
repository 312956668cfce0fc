// train-llm: finds the command, and turns signals and errors into exit codes.

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "apps/cli.h"
#include "apps/commands.h"
#include "apps/help.h"
#include "apps/threads.h"
#include "fathom/base/cores.h"
#include "fathom/base/error.h"
#include "fathom/config/errors.h"
#include "fathom/train/choices.h"

namespace fathom {
namespace {

// A signal handler can reach nothing but globals: these two belong to main.
std::atomic<StopFlag*> stop_of_main{nullptr};
std::atomic<int64_t> first_signal_ms{0};

/// The first signal asks to stop, a second one ends the process. Signals within a second are one
/// request: torchrun passes on a Ctrl-C that the terminal has already sent to every process.
extern "C" void on_signal(int signal) {
  constexpr int64_t kSameRequestMs = 1000;
  StopFlag* stop = stop_of_main.load();
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t now_ms = int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
  if (!stop->requested()) {
    first_signal_ms.store(now_ms);
    stop->request(signal);
  } else if (now_ms - first_signal_ms.load() > kSameRequestMs) {
    ::_exit(128 + signal);
  }
}

/// SIGINT and SIGTERM set `stop`. A closed pipe and a file-size limit become errors of the write
/// that met them.
void install_signal_handlers(StopFlag& stop) {
  stop_of_main.store(&stop);
  struct sigaction action {};
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  ::sigaction(SIGXFSZ, &action, nullptr);
}

/// A closed stdin, stdout or stderr would give its number to the next file that is opened, and a
/// message could end in a checkpoint. Read-only /dev/null keeps the number, and writes still fail.
void occupy_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF)
      static_cast<void>(::open("/dev/null", O_RDONLY));
  }
}

bool asks_for_help(const std::vector<std::string>& words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::any_of(words.begin(), end,
                     [](const std::string& word) { return word == "--help" || word == "-h"; });
}

int run_command_line(std::vector<std::string> words, const StopFlag& stop) {
  const std::vector<Command> table = commands();
  const Choices choices = config_choices();
  if (words.empty()) throw ConfigError("a command is missing; train-llm --help lists them");
  if (words[0] == "--help" || words[0] == "-h") words[0] = "help";
  if (words[0] == "--version") words[0] = "version";
  if (asks_for_help(words)) {
    write_stdout(help_text(table, words, choices), stop);
    return 0;
  }
  const Command& command = find_command(table, words);
  Invocation invocation(command, words, choices, stop);
  const int64_t variable =
      threads_of_environment([](const char* name) { return std::getenv(name); });
  const int64_t threads = invocation.threads() > 0 ? invocation.threads() : variable;
  if (threads > 0) set_num_threads(threads);
  return command.run(invocation);
}

/// A line on stderr. @returns `exit_code`
int report(std::string message, int exit_code) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fprintf(stderr, "train-llm: %s\n", message.c_str());
  return exit_code;
}

/// LibTorch's allocators throw errors of their own type; their backtrace starts on the next line.
int report_foreign(const std::exception& error) {
  std::string message = error.what();
  message.resize(std::min(message.find('\n'), message.size()));
  const bool out_of_memory = message.find("out of memory") != std::string::npos ||
                             message.find("can't allocate memory") != std::string::npos;
  if (out_of_memory) return report(message, MemoryError("").exit_code());
  return report("this is a bug in Fathom: " + message, 1);
}

/// As many open files as the system lets this user have: each token file is one.
void allow_many_files() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  // Tensors go back to the system when they are freed. By default glibc keeps ever larger blocks on
  // its heap, and the same run takes anything from 1.0 to 1.5 times the memory.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
  fathom::StopFlag stop;
  fathom::allow_many_files();
  fathom::occupy_standard_descriptors();
  fathom::install_signal_handlers(stop);
  try {
    return fathom::run_command_line({argv + 1, argv + argc}, stop);
  } catch (const fathom::ConfigErrors& errors) {
    for (const std::string& line : errors.lines()) fathom::report(line, errors.exit_code());
    return errors.exit_code();
  } catch (const fathom::Error& error) {
    return fathom::report(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return fathom::report("memory ran out; lower train.micro_batch_size or the model's size",
                          fathom::MemoryError("").exit_code());
  } catch (const std::exception& error) {
    return fathom::report_foreign(error);
  } catch (...) {
    return fathom::report("this is a bug in Fathom: something was thrown that is no error", 1);
  }
}
