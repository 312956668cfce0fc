// Errors of Fathom: one type per exit code of train-llm, and helpers to word a message.
//
// A message names the thing, the value, what is allowed and the fix, in one line.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

/// Base of all errors that a user can cause or meet. Anything else that escapes is a bug of ours
/// (exit code 1).
class Error : public std::runtime_error {
 public:
  Error(const std::string& message, int exit_code)
      : std::runtime_error(message), exit_code_(exit_code) {}
  /// The exit code that train-llm ends with.
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// NOLINTBEGIN(bugprone-macro-parentheses): the name of a class takes none.
/// Declares an error type with a fixed exit code.
#define FATHOM_ERROR_TYPE(NAME, CODE)                                   \
  class NAME : public Error {                                           \
   public:                                                              \
    explicit NAME(const std::string& message) : Error(message, CODE) {} \
  }
// NOLINTEND(bugprone-macro-parentheses)

FATHOM_ERROR_TYPE(ConfigError, 2);      ///< usage, or a config that can't be run
FATHOM_ERROR_TYPE(DataError, 3);        ///< training text, token files, tokenizers
FATHOM_ERROR_TYPE(CheckpointError, 4);  ///< checkpoints and model files
FATHOM_ERROR_TYPE(TrainingError, 5);    ///< training stopped itself: non-finite loss, failed check
FATHOM_ERROR_TYPE(DiskError, 6);        ///< the file system refused: full, read-only, I/O error
FATHOM_ERROR_TYPE(PeerError, 7);        ///< another rank was lost
FATHOM_ERROR_TYPE(BusyError, 8);        ///< the output directory is in use by another run
FATHOM_ERROR_TYPE(MemoryError, 9);      ///< host or device memory ran out
#undef FATHOM_ERROR_TYPE

/// A tensor whose shape or dtype doesn't fit its argument: a bug of the caller (exit code 1).
class ShapeError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// Work ended early because of a signal: "stopped by SIGTERM". `exit_code()` is 128 + the signal's
/// number.
class Interrupted : public Error {
 public:
  explicit Interrupted(int signal);
};

/// Joins its arguments as a stream would print them (GCC 12 has no <format>).
template <typename... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  out.precision(12);
  (out << ... << args);
  return out.str();
}

/// "a, b, c".
std::string join(const std::vector<std::string>& names, std::string_view separator = ", ");

/// "Flash-Attn" -> "flash_attn": what stays of a name when its case and '-' for '_' don't matter.
std::string folded_name(std::string_view name);

/// The name with the smallest edit distance to `name`, whatever the case, or "" when none is close
/// enough to be meant.
std::string nearest_name(std::string_view name, const std::vector<std::string>& names);

/// "; did you mean 'x'?", or "" when no name is near.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& names);

/// "path: No space left on device" for the current errno, as a DiskError with `action` before it.
[[noreturn]] void throw_disk_error(std::string_view action, std::string_view path,
                                   int error_number);

}  // namespace fathom
