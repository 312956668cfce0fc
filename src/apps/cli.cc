#include "apps/cli.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/base/internal/quote.h"
#include "fathom/base/internal/terminal.h"
#include "fathom/base/number.h"
#include "fathom/config/describe.h"
#include "fathom/hugging_face/hugging_face.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {
namespace {

const Flag kConfigFlag{"config", "CONFIG", "the config, instead of the first argument"};
const Flag kThreadsFlag{"threads", "N", "CPU threads (default: OMP_NUM_THREADS, else all cores)"};
const Flag kHelpFlag{"help", "", "this text"};
constexpr int64_t kMaxThreads = 4096;

bool takes_many(const Flag& flag) { return flag.argument.ends_with("..."); }

/// "optimizer.lr=1e-3", but not a path such as "runs/lr=1e-3/config.yaml".
bool is_assignment(std::string_view word) {
  const size_t equals = word.find('=');
  return equals != std::string_view::npos && equals > 0 &&
         word.substr(0, equals).find('/') == std::string_view::npos;
}

Override split_assignment(const std::string& word) {
  const size_t equals = word.find('=');
  return {word.substr(0, equals), word.substr(equals + 1)};
}

std::string see_help(const Command& command) {
  return cat("; see train-llm ", command.name, " --help");
}

/// The message for a flag that the command doesn't have; the nearest may be a flag or a key.
std::string unknown_flag(const std::string& name, const Command& command, const Choices& choices) {
  std::vector<std::string> names;
  for (const Flag& flag : all_flags(command)) names.push_back(flag.name);
  const std::string nearest = nearest_name(name, names);
  std::string hint = nearest.empty() ? see_help(command) : cat("; did you mean --", nearest, "?");
  if (nearest.empty() && command.takes_config) {
    const KeyAdvice key = key_advice(name, choices);
    if (!key.path.empty())
      hint =
          cat("; did you mean --", key.path, "?", key.note.empty() ? "" : cat(" (", key.note, ")"));
    else if (!key.note.empty())
      hint = key.text();
  }
  return cat(command.name, " has no flag --", name, hint);
}

}  // namespace

std::vector<Flag> all_flags(const Command& command) {
  std::vector<Flag> flags = command.flags;
  if (command.takes_config) flags.push_back(kConfigFlag);
  if (command.computes) flags.push_back(kThreadsFlag);
  flags.push_back(kHelpFlag);
  return flags;
}

std::string usage_of(const Command& command) {
  return cat("train-llm ", command.name, command.usage.empty() ? "" : " ", command.usage);
}

Invocation::Invocation(const Command& command, const std::vector<std::string>& words,
                       const Choices& choices, StopFlag& stop, std::string program)
    : command_(&command),
      choices_(&choices),
      stop_(&stop),
      program_(std::move(program)),
      words_(words) {
  bool flags_ended = false;
  for (size_t i = 0; i < words.size();) {
    const std::string& word = words[i];
    if (!flags_ended && word.starts_with("--")) {
      flags_ended = word == "--";
      i = flags_ended ? i + 1 : take_flag(words, i);
      continue;
    }
    if (!flags_ended && word.size() > 1 && word[0] == '-')
      throw ConfigError(
          cat("unknown flag ", word, "; flags start with two dashes", see_help(command)));
    if (!flags_ended && (command.takes_config || command.takes_model_keys) && is_assignment(word)) {
      overrides_.push_back(split_assignment(word));
    } else {
      arguments_.push_back(word);
    }
    ++i;
  }
  if (command.takes_config && has("config"))
    arguments_.insert(arguments_.begin(), text("config", ""));
  check_arguments();
}

size_t Invocation::take_flag(const std::vector<std::string>& words, size_t index) {
  const std::string& word = words[index];
  const size_t equals = word.find('=');
  const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
  const std::vector<Flag> flags = all_flags(*command_);
  const auto flag =
      std::find_if(flags.begin(), flags.end(), [&](const Flag& row) { return row.name == name; });
  if (flag == flags.end()) {
    if (command_->takes_config && name.find('.') != std::string::npos)
      return take_override(words, index);
    throw ConfigError(unknown_flag(name, *command_, *choices_));
  }
  if (flags_.contains(name) && !takes_many(*flag))
    throw ConfigError(cat("--", name, " is given twice; keep one"));
  std::vector<std::string>& values = flags_[name];
  ++index;
  if (flag->argument.empty()) {
    if (equals != std::string::npos)
      throw ConfigError(cat("--", name, " takes no value; write --", name, " alone"));
    return index;
  }
  if (equals != std::string::npos) {
    values.push_back(word.substr(equals + 1));
    return index;
  }
  const size_t before = values.size();
  const size_t most = takes_many(*flag) ? words.size() : index + 1;
  while (index < std::min(most, words.size()) && !words[index].starts_with("--"))
    values.push_back(words[index++]);
  if (values.size() == before)
    throw ConfigError(cat("--", name, " needs a value: --", name, " ", flag->argument, " (--", name,
                          "=VALUE where the value starts with --)"));
  return index;
}

size_t Invocation::take_override(const std::vector<std::string>& words, size_t index) {
  const std::string assignment = words[index].substr(2);
  if (assignment.find('=') != std::string::npos) {
    overrides_.push_back(split_assignment(assignment));
    return index + 1;
  }
  if (assignment.starts_with("no-") && is_boolean_key(assignment.substr(3), *choices_)) {
    overrides_.push_back({assignment.substr(3), "false"});
    return index + 1;
  }
  const std::string next = index + 1 < words.size() ? words[index + 1] : "";
  if (is_boolean_key(assignment, *choices_) && next != "true" && next != "false") {
    overrides_.push_back({assignment, "true"});
    return index + 1;
  }
  if (index + 1 == words.size() || next.starts_with("--"))
    throw ConfigError(cat("--", assignment, " needs a value: ", assignment, "=VALUE"));
  overrides_.push_back({assignment, next});
  return index + 2;
}

void Invocation::check_arguments() const {
  if (command_->takes_config && has("config") && arguments_.size() > command_->max_arguments)
    throw ConfigError(
        cat("the config is given twice, by --config and as '", arguments_[1], "'; drop one"));
  if (arguments_.size() < command_->min_arguments)
    throw ConfigError(cat(command_->name, " needs more arguments; usage: ", usage_of(*command_)));
  if (arguments_.size() > command_->max_arguments)
    throw ConfigError(cat("unexpected argument '", arguments_[command_->max_arguments],
                          "'; usage: ", usage_of(*command_)));
}

const Flag& Invocation::declared(std::string_view flag) const {
  if (command_->takes_config && flag == kConfigFlag.name) return kConfigFlag;
  if (command_->computes && flag == kThreadsFlag.name) return kThreadsFlag;
  for (const Flag& row : command_->flags) {
    if (row.name == flag) return row;
  }
  throw std::logic_error(cat(command_->name, " does not declare --", flag));
}

bool Invocation::has(std::string_view flag) const { return flags_.contains(declared(flag).name); }

std::vector<std::string> Invocation::texts(std::string_view flag) const {
  const auto found = flags_.find(declared(flag).name);
  return found == flags_.end() ? std::vector<std::string>{} : found->second;
}

std::string Invocation::text(std::string_view flag, const std::string& fallback) const {
  return has(flag) ? texts(flag).at(0) : fallback;
}

int64_t Invocation::integer(std::string_view flag, int64_t fallback, int64_t at_least,
                            int64_t at_most) const {
  if (!has(flag)) return fallback;
  std::string advice = cat("allowed: from ", at_least, " to ", at_most);
  const std::optional<int64_t> value = parse_integer(text(flag, ""), advice);
  if (!value || *value < at_least || *value > at_most)
    throw ConfigError(cat("--", flag, " is '", text(flag, ""), "'; ", advice));
  return *value;
}

double Invocation::number(std::string_view flag, double fallback, double at_least,
                          double at_most) const {
  if (!has(flag)) return fallback;
  std::string advice = cat("allowed: from ", at_least, " to ", at_most);
  const std::optional<double> value = parse_number(text(flag, ""), advice);
  if (!value || *value < at_least || *value > at_most)
    throw ConfigError(cat("--", flag, " is '", text(flag, ""), "'; ", advice));
  return *value;
}

int64_t Invocation::threads() const {
  return command_->computes ? integer(kThreadsFlag.name, 0, 1, kMaxThreads) : 0;
}

LoadedConfig Invocation::load_config() const {
  const auto read_model = [this](const std::string& directory) -> StartingModel {
    const std::filesystem::path tokenizer = find_tokenizer(directory);
    return {read_model_config(directory, *choices_).model, tokenizer.string(),
            !tokenizer.empty() && Tokenizer::load(tokenizer).adds_bos()};
  };
  std::vector<Override> overrides = overrides_;
  if (threads() > 0) overrides.push_back({"train.threads", cat(threads())});
  return load_run_config(arguments_.at(0), overrides, *choices_, read_model);
}

std::string Invocation::program() const { return shell_quoted(program_); }

std::string Invocation::command_line(const std::vector<std::string>& dropped,
                                     const std::string& dropped_key) const {
  std::string line = cat(program(), " ", command_->name);
  for (size_t i = 0; i < words_.size(); ++i) {
    const std::string name = words_[i].substr(0, words_[i].find('='));
    const bool drops = std::any_of(dropped.begin(), dropped.end(), [&](const std::string& flag) {
      return name == cat("--", flag);
    });
    if (!dropped_key.empty() && name == dropped_key) continue;
    if (!drops && !(name == "--" + dropped_key)) {
      line = cat(line, " ", shell_quoted(words_[i]));
    } else if (name == words_[i]) {
      ++i;  // its value is the next word
    }
  }
  return line;
}

void write_stdout(std::string_view text_in, const StopFlag& stop) {
  end_bar();
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const std::string escaped = terminal ? printable(text_in, "\n\t") : "";
  std::string_view text = terminal ? escaped : text_in;
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) {
      stop.check();
      continue;
    }
    if (n < 0) throw_disk_error("can't write to", "stdout", errno);
    text.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace fathom
