// The data of a run: from a config to tokenizer, token files and batches.
#pragma once

#include <string>
#include <vector>

#include "fathom/base/log.h"
#include "fathom/base/stop.h"
#include "fathom/config/run_config.h"
#include "fathom/data/loader.h"
#include "fathom/tokenizer/tokenizer.h"
#include "fathom/train/parallel.h"

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
void report_evaluation(const Rows& rows, const DataConfig& config, const std::string& name,
                       const Log& log);

/// Batches of an evaluation's rows, from the first on.
/// @param rows outlives the stream
/// @param parallel ranks that share each batch, and agree on a stop before it
BatchStream batches_of(const EvaluationLoader& rows, Parallel* parallel = nullptr);

/// Rows that go through a model at once, on each rank: those of a micro-batch.
int64_t rows_at_once(const RunConfig& config, const Parallel& parallel);

}  // namespace fathom
