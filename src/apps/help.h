// Which commands there are, in words: help texts, and the row that a command line names.
#pragma once

#include <string>
#include <vector>

#include "apps/cli.h"

namespace fathom {

/// The row that the first word, or the first two, name.
/// @param words loses the name
/// @throws ConfigError for an unknown name, and for "tokenizer" alone
const Command& find_command(const std::vector<Command>& table, std::vector<std::string>& words);

/// The first words of all rows, each once: "train plan ... tokenizer ...".
std::string first_words(const std::vector<Command>& table);

/// What `train-llm --help` prints.
std::string overview_text(const std::vector<Command>& commands);

/// What `train-llm COMMAND --help` prints: usage, flags, config keys, an example.
std::string help_text(const Command& command, const Choices& choices);

/// What `train-llm help WORDS` prints: the overview without words, that of its commands for
/// "tokenizer".
/// @throws ConfigError for an unknown name
std::string help_text(const std::vector<Command>& table, std::vector<std::string> words,
                      const Choices& choices);

}  // namespace fathom
