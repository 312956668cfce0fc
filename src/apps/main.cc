// train-llm: finds the command, and turns signals and errors into exit codes.

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>

#include "apps/cli.h"
#include "apps/commands.h"
#include "apps/help.h"
#include "apps/signals.h"
#include "apps/threads.h"
#include "fathom/base/cores.h"
#include "fathom/base/error.h"
#include "fathom/base/internal/quote.h"
#include "fathom/config/errors.h"
#include "fathom/run/choices.h"

namespace fathom {
namespace {

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

/// Memory ran out, on the host or on a device, in whatever words a library says so.
bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (const auto* own = dynamic_cast<const Error*>(&error))
    return own->exit_code() == MemoryError("").exit_code();
  if (const auto* of_system = dynamic_cast<const std::system_error*>(&error))
    return of_system->code() == std::errc::not_enough_memory ||
           of_system->code() == std::errc::resource_unavailable_try_again;  // for a thread's stack
  const std::string_view what = error.what();
  return what.find("out of memory") != what.npos || what.find("can't allocate memory") != what.npos;
}

/// Without a backtrace, which starts on the next line.
std::string first_line(const std::exception& error) {
  const std::string what = error.what();
  return what.substr(0, what.find('\n'));
}

/// Runs a command, and says what helps it when memory runs out.
int run_command(const Command& command, Invocation& invocation) {
  try {
    return command.run(invocation);
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    throw MemoryError(cat("memory ran out (", first_line(error), "); ", command.memory_advice));
  }
}

int run_command_line(const std::string& program, std::vector<std::string> words, StopFlag& stop) {
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
  Invocation invocation(command, words, choices, stop, program);
  const int64_t variable =
      threads_of_environment([](const char* name) { return std::getenv(name); });
  const int64_t threads = invocation.threads() > 0 ? invocation.threads() : variable;
  if (threads > 0) set_num_threads(threads);
  return run_command(command, invocation);
}

/// A line on stderr, unless another process of the run has said it. @returns `exit_code`
int report(std::string message, int exit_code) {
  if (message.empty()) return exit_code;
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fprintf(stderr, "train-llm: %s\n", printable(message).c_str());
  return exit_code;
}

/// Memory may run out in a thread of a library, where nobody catches what is thrown.
[[noreturn]] void end_of_thread() {
  try {
    std::rethrow_exception(std::current_exception());
  } catch (const std::exception& error) {
    const int code = MemoryError("").exit_code();
    if (is_out_of_memory(error))
      ::_exit(report(cat("memory ran out (", first_line(error), "); give it more"), code));
  } catch (...) {  // no error of ours
  }
  std::abort();
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
  std::set_terminate(fathom::end_of_thread);
  try {
    return fathom::run_command_line(argv[0], {argv + 1, argv + argc}, stop);
  } catch (const fathom::ConfigErrors& errors) {
    for (const std::string& line : errors.lines()) fathom::report(line, errors.exit_code());
    return errors.exit_code();
  } catch (const fathom::Error& error) {
    return fathom::report(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return fathom::report("memory ran out", fathom::MemoryError("").exit_code());
  } catch (const std::exception& error) {
    return fathom::report("this is a bug in Fathom: " + fathom::first_line(error), 1);
  } catch (...) {
    return fathom::report("this is a bug in Fathom: something was thrown that is no error", 1);
  }
}
