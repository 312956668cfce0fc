// Shell completion of train-llm, made from the table of commands and the declared keys.
#pragma once

#include <string>
#include <vector>

#include "apps/cli.h"

namespace fathom {

/// A script for bash, which zsh runs too, that completes commands, flags and their values, presets,
/// config keys and theirs, and files.
std::string completion_script(const std::vector<Command>& table, const Choices& choices);

}  // namespace fathom
