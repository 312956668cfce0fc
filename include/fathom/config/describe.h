// The declared keys as YAML, as text for people, and as JSON Schema.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fathom/config/run_config.h"

namespace fathom {

/// The resolved config as YAML: keys that are set and have an effect. Reading it back gives the
/// same config.
std::string dump_yaml(RunConfig config, const Choices& choices);

/// The values that `dump_yaml` writes, by key.
std::map<std::string, std::string> effective_values(RunConfig config, const Choices& choices);

/// Every key with type, default, limits and meaning, as lines for --help and the reference page.
std::string describe_keys(const Choices& choices);

/// JSON Schema (2020-12) of a config file, for editors.
nlohmann::ordered_json json_schema(const Choices& choices);

/// The paths of all keys, in the order of their declaration.
std::vector<std::string> key_paths(const Choices& choices);

/// What a key that doesn't exist was meant to be.
struct KeyAdvice {
  std::string path;  ///< of the key that is meant; "" where there is none or several
  std::string note;  ///< what differs, or what to do instead; may be ""

  /// "; did you mean 'optimizer.lr'?"; "" where nothing is near.
  std::string text() const;
};

/// For a name that isn't a key, such as another trainer's name for one.
KeyAdvice key_advice(const std::string& name, const Choices& choices);

/// Whether `path` is a key whose value is true or false, so that `--path` alone sets it.
bool is_boolean_key(const std::string& path, const Choices& choices);

}  // namespace fathom
