// What the commands that train or score have in common: from a config to tokenizer, data and model.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "apps/cli.h"
#include "fathom/data/loader.h"
#include "fathom/data/tokenizer.h"
#include "fathom/eval/perplexity.h"
#include "fathom/io/checkpoint.h"
#include "fathom/io/model_files.h"

namespace fathom {

/// Tokenizer and token files of a run.
struct RunData {
  Tokenizer tokenizer;
  std::vector<TokenFile> train;
  std::vector<TokenFile> validation;  ///< empty unless data.validation is set
};

/// Loads the tokenizer and prepares what isn't prepared yet. @throws ConfigError for data keys that
/// are missing
RunData load_data(const RunConfig& config, const Log& log, const StopFlag& stop);

/// The same for several ranks: rank 0 prepares, the others open what it has made.
RunData load_data(const RunConfig& config, const Log& log, const StopFlag& stop,
                  Parallel& parallel);

/// Token files that somebody else has open, too.
std::vector<TokenFile> open_again(const std::vector<TokenFile>& files);

/// Settles what depends on the data: train.max_epochs in steps.
/// @param log is told how often the data is gone through and what is left out; null: nobody
void settle_data(RunConfig& config, const RunData& data, const Log* log);

/// Says what an evaluation scores and leaves out. @param name of it, "data.validation"
void report_evaluation(const std::vector<TokenFile>& files, const DataConfig& config,
                       const std::string& name, const Log& log);

/// The identity of a run, for its checkpoints.
/// @param num_ranks that the order of additions depends on
RunIdentity identity_of(const RunConfig& config, const Choices& choices, const RunData& data,
                        const torch::Device& device, int64_t num_ranks = 1);

/// The state that a new run trains from: drawn, or with the weights of train.init_from.
/// @throws CheckpointError if they were trained with another plan, or as `load_weights` does
TrainState start_state(const RunConfig& config, const torch::Device& device, const Choices& choices,
                       const Log& log, Shard optimizer_shard = {});

/// The first data.validation_tokens targets of some token files, batch by batch.
/// @param rows_per_batch rows that go through the model at once, on each rank
/// @param parallel ranks that share each batch, and agree on a stop before it
EvaluationSource evaluation_batches(const std::vector<TokenFile>& files, const DataConfig& config,
                                    int64_t rows_per_batch, Parallel* parallel = nullptr);

/// Scores them.
Perplexity score(Llama& model, const std::vector<TokenFile>& files, const DataConfig& config,
                 int64_t rows_per_batch, const StopFlag& stop, Parallel* parallel = nullptr);

/// The tokenizer of a model directory. @throws CheckpointError if it has none
Tokenizer load_tokenizer(const std::filesystem::path& model_directory);

/// What a checkpoint of a run holds beside its state.
CheckpointContent checkpoint_content(const RunConfig& config, const RunData& data,
                                     const RunIdentity& identity, const Choices& choices);

}  // namespace fathom
