// The frame of train-llm: a table of commands, their flags, and what a command is given to work
// with.
//
//   Command list_command() {
//     return {.name = "list", .summary = "...", .usage = "WHAT [--json]", .example = "...",
//             .min_arguments = 1, .max_arguments = 1, .flags = {{"json", "", "..."}}, .run = run};
//   }
//
// A new command is one cmd_*.cc, its declaration in commands.h and its row in commands.cc.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/log.h"
#include "fathom/base/stop.h"
#include "fathom/config/load.h"

namespace fathom {

class Invocation;

/// A flag of a command: `--name`, `--name VALUE` or `--name=VALUE`.
struct Flag {
  std::string name;      ///< "resume"
  std::string argument;  ///< "DIR"; "" = a switch; "FILE..." = every word up to the next flag
  std::string help;      ///< one line
};

/// What helps the commands that train.
constexpr const char* kStepMemoryAdvice =
    "lower train.micro_batch_size or data.sequence_length, or set train.activation_checkpointing; "
    "'plan' shows what a step takes";

/// A row of the table of commands.
struct Command {
  std::string name;     ///< "train", or two words: "tokenizer train"
  std::string summary;  ///< one line
  std::string usage;    ///< what follows the name: "CONFIG [overrides] [--resume auto|never|DIR]"
  std::string example;  ///< a whole command line
  size_t min_arguments = 0;  ///< words that are neither flags nor overrides; a config is one
  size_t max_arguments = 0;
  bool takes_config = false;  ///< the first argument is a config (also `--config`); overrides are
                              ///< accepted and --help lists the keys
  bool takes_model_keys = false;  ///< model.KEY=VALUE is accepted beside the arguments
  bool computes = false;          ///< on several threads: --threads is accepted
  std::vector<Flag> flags{};
  std::string memory_advice = "give it more";  ///< what helps when memory runs out
  int (*run)(Invocation&) = nullptr;           ///< @returns the exit code; errors are thrown
};

/// Writes all of `text` to stdout; what would drive a terminal is escaped where stdout is one.
/// @throws DiskError: a closed pipe or a full disk loses what the command is for. (Progress and
/// messages go to stderr, through Log and Progress, and never fail.)
/// @throws Interrupted when a signal interrupts the wait
void write_stdout(std::string_view text, const StopFlag& stop);

/// One run of a command: what was typed, checked against its row, and what it works with.
class Invocation {
 public:
  /// @param words what follows the command's name
  /// @throws ConfigError (exit code 2) for an unknown or repeated flag, a missing value, or too few
  /// or too many arguments
  /// @param program as it was called, for messages with a command line
  Invocation(const Command& command, const std::vector<std::string>& words, const Choices& choices,
             StopFlag& stop, std::string program = "train-llm");

  /// The words that are neither flags nor overrides, in order; a `--config` comes first.
  const std::vector<std::string>& arguments() const { return arguments_; }
  const std::vector<Override>& overrides() const { return overrides_; }

  /// Whether a flag was given.
  bool has(std::string_view flag) const;
  /// A flag's value, or `fallback` when it wasn't given.
  std::string text(std::string_view flag, const std::string& fallback) const;
  /// All values of a "FILE..." flag.
  std::vector<std::string> texts(std::string_view flag) const;
  /// @throws ConfigError unless it is a whole number within the bounds
  int64_t integer(std::string_view flag, int64_t fallback, int64_t at_least, int64_t at_most) const;
  /// @throws ConfigError unless it is a number within the bounds
  double number(std::string_view flag, double fallback, double at_least, double at_most) const;
  /// Of --threads; 0 when it wasn't given.
  int64_t threads() const;

  /// The config that the first argument names, with the overrides; --threads sets train.threads.
  /// @throws ConfigError
  LoadedConfig load_config() const;

  /// The program as it was called, quoted for a shell.
  std::string program() const;
  /// This command line once more, quoted for a shell.
  /// @param dropped flags that it goes without
  /// @param dropped_key whose overrides it goes without; "": none
  std::string command_line(const std::vector<std::string>& dropped = {},
                           const std::string& dropped_key = "") const;

  /// Writes to stdout, as `write_stdout` does.
  void print(std::string_view text) const { write_stdout(text, *stop_); }

  const Choices& choices() const { return *choices_; }
  StopFlag& stop() const { return *stop_; }
  const Log& log() const { return log_; }

 private:
  size_t take_flag(const std::vector<std::string>& words, size_t index);
  size_t take_override(const std::vector<std::string>& words, size_t index);
  void check_arguments() const;
  const Flag& declared(std::string_view flag) const;

  const Command* command_;
  const Choices* choices_;
  StopFlag* stop_;
  std::string program_;
  std::vector<std::string> words_;
  Log log_;
  std::vector<std::string> arguments_;
  std::vector<Override> overrides_;
  std::map<std::string, std::vector<std::string>, std::less<>> flags_;
};

/// A command's flags, with those that many have: --config, --threads, --help.
std::vector<Flag> all_flags(const Command& command);

/// "train-llm list WHAT".
std::string usage_of(const Command& command);

}  // namespace fathom
