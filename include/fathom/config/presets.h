// Configs that are built in.
#pragma once

#include <string>
#include <vector>

namespace fathom {

/// A config that is built in: a file of configs/.
struct Preset {
  std::string name;     ///< "130m": the file's stem without "llama_"
  std::string file;     ///< "llama_130m.yaml"
  std::string summary;  ///< the file's first comment line
  std::string text;     ///< the whole file
};

/// The presets: models by size, then the others by name.
const std::vector<Preset>& presets();

/// Their names: 9m, 60m, ..., quickstart, smoke.
std::vector<std::string> preset_names();

}  // namespace fathom
