#include "apps/help.h"

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/names.h"
#include "fathom/config/describe.h"

namespace fathom {
namespace {

constexpr std::string_view kOverridesHelp =
    "Config keys are set by KEY=VALUE or --KEY VALUE, true and false also by --KEY and --no-KEY, "
    "lists by JSON or\n"
    "one element; the last of several settings counts:\n";

std::string padded(std::string text, size_t width) {
  if (text.size() < width) text.resize(width, ' ');
  return text;
}

/// Rows of two columns, indented.
std::string columns(const std::vector<std::pair<std::string, std::string>>& rows) {
  size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, left.size());
  std::string text;
  for (const auto& [left, right] : rows) text += cat("  ", padded(left, width), "  ", right, "\n");
  return text;
}

std::string summaries(const std::vector<Command>& commands) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Command& command : commands) rows.emplace_back(command.name, command.summary);
  return columns(rows);
}

/// What follows a word in the names that start with it: "train", "encode" of "tokenizer".
std::vector<std::string> second_words(const std::vector<Command>& table, const std::string& word) {
  std::vector<std::string> words;
  for (const Command& command : table) {
    if (command.name.starts_with(word + " ")) words.push_back(command.name.substr(word.size() + 1));
  }
  return words;
}

}  // namespace

const Command& find_command(const std::vector<Command>& table, std::vector<std::string>& words) {
  const std::vector<std::string> parts = second_words(table, words[0]);
  if (parts.empty()) {
    const Command& command = find_row(table, words[0], "the command");
    words.erase(words.begin());
    return command;
  }
  if (words.size() < 2 || words[1].starts_with("-"))
    throw ConfigError(cat(words[0], " needs one of: ", join(parts)));
  const Command& command = find_row(table, cat(words[0], " ", words[1]), "the command");
  words.erase(words.begin(), words.begin() + 2);
  return command;
}

std::string first_words(const std::vector<Command>& table) {
  std::vector<std::string> words;
  for (const Command& command : table) {
    std::string word = command.name.substr(0, command.name.find(' '));
    if (words.empty() || words.back() != word) words.push_back(std::move(word));
  }
  return join(words, " ");
}

std::string overview_text(const std::vector<Command>& commands) {
  return cat("train-llm trains Llama-style language models with every norm placement of The Curse ",
             "of Depth.\n\nUsage: train-llm COMMAND [arguments]\n\nCommands:\n",
             summaries(commands),
             "\n'train-llm COMMAND --help' shows a command's flags and an example; 'train-llm ",
             "--version' the versions.\n");
}

std::string help_text(const Command& command, const Choices& choices) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Flag& flag : all_flags(command))
    rows.emplace_back(cat("--", flag.name, flag.argument.empty() ? "" : " ", flag.argument),
                      flag.help);
  return cat("train-llm ", command.name, ": ", command.summary, "\n\nUsage: ", usage_of(command),
             "\n\nFlags:\n", columns(rows), "\nExample:\n  ", command.example, "\n",
             command.takes_config ? cat("\n", kOverridesHelp, "\n", describe_keys(choices)) : "");
}

std::string help_text(const std::vector<Command>& table, std::vector<std::string> words,
                      const Choices& choices) {
  if (words.empty()) return overview_text(table);
  if (words.size() == 1 || words[1].starts_with("-")) {
    std::vector<Command> group;
    for (const Command& command : table) {
      if (command.name.starts_with(words[0] + " ")) group.push_back(command);
    }
    if (!group.empty())
      return cat("Usage: train-llm ", words[0], " COMMAND [arguments]\n\nCommands:\n",
                 summaries(group));
  }
  return help_text(find_command(table, words), choices);
}

}  // namespace fathom
