// Name tables: the one place where the variants of a thing are listed (placements, inits,
// optimizers, ...).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/error.h"

namespace fathom {

/// The names of a table whose rows have a `name`.
template <typename Table>
std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

/// The row called `name`.
/// @param what the config key, for the message
/// @throws ConfigError that lists the allowed names and the nearest
template <typename Table>
const auto& find_row(const Table& table, std::string_view name, std::string_view what) {
  for (const auto& row : table) {
    if (row.name == name) return row;
  }
  const std::vector<std::string> names = names_of(table);
  throw ConfigError(
      cat(what, " is '", name, "'; allowed: ", join(names), did_you_mean(name, names)));
}

}  // namespace fathom
