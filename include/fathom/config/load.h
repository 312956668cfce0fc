// From files and command line to a RunConfig, with the origin of every value.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "fathom/config/run_config.h"

namespace fathom {

/// A value from the command line: `optimizer.lr=1e-3`.
struct Override {
  std::string path;
  std::string value;  ///< as typed; lists as JSON, or one element as it is
};

/// A config, and where each of its values came from.
struct LoadedConfig {
  RunConfig config;
  /// "default", "preset 130m:12", "my.yaml:14" or "command line", by key.
  std::map<std::string, std::string> origins;
};

/// The model directory that `train.init_from` names, as far as a config is concerned.
struct StartingModel {
  ModelConfig model;
  std::string tokenizer;  ///< path of its tokenizer; "" where it has none
  bool adds_bos = false;  ///< its texts start with BOS
};

/// Reads one; io knows how. @throws CheckpointError
using ReadStartingModel = std::function<StartingModel(const std::string& directory)>;

/// Reads a YAML or JSON file, or a preset, with what it extends; overrides win over files, files
/// over presets, the later override over the earlier.
///
/// A key without effect is an error where the file itself or the command line sets it. Where it is
/// inherited, or the file sets it and the command line makes another choice, it falls back to its
/// default, so that the config is the one that its dump describes.
///
/// With `train.init_from`, the model is that directory's: its keys are the defaults of model.*, and
/// data.tokenizer is its tokenizer, data.add_bos what that does. A key of model.* that is set and
/// says otherwise is an error, unless it changes no weight: rope_theta, rope_scaling and
/// max_position_embeddings may be set to train for another context.
/// @param name_or_path a path that ends in .yaml, .yml or .json, or a preset's name
/// @param read_model follows train.init_from; null: it is a value like any other
/// @throws ConfigError, "file:line: key is value; allowed ...; did you mean ...", a line for each
/// unknown,
/// duplicate, mistyped, out-of-range or ineffective key, keys that contradict each other, a second
/// document, anchors, aliases, tags, more than 1 MB or 64 levels
LoadedConfig load_run_config(const std::string& name_or_path,
                             const std::vector<Override>& overrides, const Choices& choices,
                             const ReadStartingModel& read_model = nullptr);

/// Sets keys of a section that is declared on its own, such as a model's.
/// @throws ConfigError as `load_run_config` does
void apply_overrides(const Fields& fields, const std::vector<Override>& overrides);

/// Sets fields to values as `effective_values` gives them; those of keys that aren't declared are
/// passed over.
/// @throws ConfigError for a value that its key doesn't allow
void apply_values(const Fields& fields, const std::map<std::string, std::string>& values);

}  // namespace fathom
