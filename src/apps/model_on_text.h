// A model directory and text to run it on: what eval and diagnose have in common.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "apps/cli.h"
#include "fathom/data/loader.h"
#include "fathom/eval/perplexity.h"
#include "fathom/model/llama.h"

namespace fathom {

struct ModelOnText {
  std::filesystem::path directory;  ///< that the model was loaded from
  Llama model;
  DataConfig data;
  EvaluationLoader rows;
};

/// Flags that say which text, where the model runs and how rows are made, then `flags`.
std::vector<Flag> with_text_flags(std::vector<Flag> flags);

/// @param what was measured
/// @throws CheckpointError naming the directory if it isn't finite: null is no result
void require_finite(const std::filesystem::path& directory, std::string_view what, bool finite);

/// Loads the model that the first argument names, and prepares text with its tokenizer.
/// @param inputs text files, folders, globs or token files
/// @param tokens how many are used at most
ModelOnText load_model_on_text(const Invocation& invocation, const std::vector<std::string>& inputs,
                               int64_t tokens);

}  // namespace fathom
