#include "fathom/run/run_data.h"

#include "fathom/base/error.h"
#include "fathom/base/json.h"
#include "fathom/data/prepared.h"
#include "fathom/data/report.h"
#include "fathom/tokenizer/tokenizer_files.h"

namespace fathom {
namespace {

/// A run goes on with the ids that its start was trained with.
void check_start(const RunConfig& config, const Tokenizer& tokenizer) {
  const std::filesystem::path theirs = find_tokenizer(config.train.init_from);
  if (config.train.init_from.empty() || theirs.empty()) return;
  if (Tokenizer::load(theirs).checksum() != tokenizer.checksum())
    throw ConfigError(cat("data.tokenizer is ", tokenizer.name(), ", but train.init_from (",
                          config.train.init_from, ") was trained with another, ", theirs.string(),
                          "; leave data.tokenizer out"));
}

void say(const DataReport& report, const Log& log) {
  log.info(report.summary);
  for (const std::string& warning : report.warnings) log.warn(warning);
}

}  // namespace

RunData load_data(const RunConfig& config, const Log& log, const StopFlag& stop) {
  if (config.data.tokenizer.empty())
    throw ConfigError(
        "data.tokenizer is not set; name a SentencePiece .model (train-llm tokenizer train makes "
        "one)");
  if (config.data.train.empty())
    throw ConfigError("data.train is not set; name text files, folders, globs or token files");
  RunData data{.tokenizer = Tokenizer::load(config.data.tokenizer), .train = {}, .validation = {}};
  check_vocabulary(data.tokenizer, config.model.vocab_size);
  check_start(config, data.tokenizer);
  warn_of_ids(data.tokenizer, log);
  if (data.tokenizer.is_sentencepiece()) {
    for (const std::string& warning :
         tokenizer_warnings(data.tokenizer.bytes(), data.tokenizer.name()))
      log.warn(warning);
  }
  data.train = prepared(config.data.train, config.data, data.tokenizer, "prepare train", log, stop);
  if (!config.data.validation.empty())
    data.validation = prepared(config.data.validation, config.data, data.tokenizer,
                               "prepare validation", log, stop);
  return data;
}

RunData load_data(const RunConfig& config, const Log& log, const StopFlag& stop,
                  Parallel& parallel) {
  std::optional<RunData> data;
  const auto paths = [](const std::vector<TokenFile>& files) {
    Json list = Json::array();
    for (const TokenFile& file : files)
      list.push_back(std::filesystem::absolute(file.path()).string());
    return list;
  };
  const std::string made = parallel.on_main("preparing data", [&] {
    data = load_data(config, log, stop);
    return Json{{"train", paths(data->train)}, {"validation", paths(data->validation)}}.dump();
  });
  if (data) return std::move(*data);
  data.emplace(
      RunData{.tokenizer = Tokenizer::load(config.data.tokenizer), .train = {}, .validation = {}});
  const Json found = parse_json(made, "rank 0");
  const bool hold_open = may_hold_open(found["train"].size() + found["validation"].size());
  for (const Json& path : found["train"])
    data->train.push_back(TokenFile::open(path.get<std::string>(), hold_open));
  for (const Json& path : found["validation"])
    data->validation.push_back(TokenFile::open(path.get<std::string>(), hold_open));
  return std::move(*data);
}

std::vector<TokenFile> open_again(const std::vector<TokenFile>& files) {
  std::vector<TokenFile> opened;
  const bool hold_open = may_hold_open(files.size());
  for (const TokenFile& file : files) opened.push_back(TokenFile::open(file.path(), hold_open));
  return opened;
}

void settle_data(RunConfig& config, const RunData& data, const Log* log) {
  const Loader loader(open_again(data.train), config.data, config.train.global_batch_size);
  config.resolve_epochs(loader.rows_per_epoch());
  if (log == nullptr) return;
  say(training_report(loader, config.data, config.total_steps()), *log);
  if (!data.validation.empty())
    report_evaluation(Rows(open_again(data.validation), config.data), config.data,
                      "data.validation", *log);
}

void report_evaluation(const Rows& rows, const DataConfig& config, const std::string& name,
                       const Log& log) {
  say(evaluation_report(rows, config, name), log);
}

BatchStream batches_of(const EvaluationLoader& rows, Parallel* parallel) {
  return [&rows, parallel, next = int64_t{0}]() mutable -> std::optional<Batch> {
    if (next == rows.num_batches()) return std::nullopt;
    if (parallel != nullptr) parallel->agree();
    return rows.batch(next++);
  };
}

int64_t rows_at_once(const RunConfig& config, const Parallel& parallel) {
  return std::min(config.train.rows_per_micro_batch(),
                  config.train.global_batch_size / parallel.size());
}

}  // namespace fathom
