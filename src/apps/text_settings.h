// How text becomes rows where there is no config: as the run that made the model had it, and as
// flags say.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "apps/cli.h"
#include "fathom/base/json.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {

/// `flags` and those that say how rows are made of text.
std::vector<Flag> with_row_flags(std::vector<Flag> flags);

/// Of a checkpoint's run (state.json) or else the defaults, with BOS as the tokenizer has it; each
/// flag that is given wins.
/// @param model_directory of a checkpoint, or of a model that came from elsewhere
/// @param longest that the model reads
/// @throws ConfigError for a flag's value; CheckpointError for a state.json that can't be read
DataConfig text_settings(const Invocation& invocation, const std::filesystem::path& model_directory,
                         const Tokenizer& tokenizer, int64_t longest);

/// What was used, by the config's keys.
Json settings_json(const DataConfig& settings);
std::string settings_text(const DataConfig& settings);

}  // namespace fathom
