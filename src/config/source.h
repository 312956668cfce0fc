// Config files and presets, and what they extend.
#pragma once

#include <string>
#include <vector>

#include "config/tree.h"

namespace fathom {

/// One file or preset.
struct Source {
  std::string label;                    ///< "my.yaml" or "preset 130m": names it in messages
  Node root;                            ///< its keys, without `extends`
  std::vector<std::string> duplicates;  ///< what is to be said of keys that are there twice
};

/// Reads a config and, before it, all that it extends, in the order in which later values win.
/// @throws ConfigError for a file that can't be read, a name that is neither, or a cycle
std::vector<Source> read_sources(const std::string& name_or_path);

}  // namespace fathom
