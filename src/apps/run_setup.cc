#include "apps/run_setup.h"

#include "fathom/base/file.h"
#include "fathom/base/json.h"
#include "fathom/config/context.h"
#include "fathom/data/prepare.h"
#include "fathom/data/report.h"
#include "fathom/train/device.h"
#include "fathom/train/schedule.h"

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

/// The file that a run's tokenizer files come from: that of the start, where there is one.
Tokenizer source_of(const RunConfig& config, const Tokenizer& tokenizer) {
  if (config.train.init_from.empty()) return tokenizer;
  const std::filesystem::path theirs = find_tokenizer(config.train.init_from);
  return theirs.empty() ? tokenizer : Tokenizer::load(theirs);
}

SpecialTokens special_tokens(const Tokenizer& tokenizer) {
  SpecialTokens tokens{.bos = tokenizer.bos_id(), .eos = {}, .pad = tokenizer.pad_id()};
  if (tokenizer.eos_id()) tokens.eos = {*tokenizer.eos_id()};
  return tokens;
}

/// Those beside the tokenizer go along as they are, but that they say of BOS what the run does.
TokenizerFiles tokenizer_files(const RunConfig& config, const Tokenizer& tokenizer) {
  const bool adds_bos = config.data.add_bos;
  const std::filesystem::path path = tokenizer.name();
  const std::string& start = config.train.init_from;
  const bool is_start = !start.empty() && path == find_tokenizer(start);
  TokenizerFiles files;
  if (is_start || !tokenizer.stands_alone()) files = read_tokenizer_files(path.parent_path());
  if (!is_start) files.erase("generation_config.json");  // of another model
  if (!tokenizer.is_sentencepiece()) files["tokenizer.json"] = tokenizer.bytes();
  if (tokenizer.stands_alone() && tokenizer.is_sentencepiece())
    files.merge(sentencepiece_files(tokenizer.bytes(), special_tokens(tokenizer),
                                    longest_context(config.model), adds_bos));
  else if (tokenizer.handles_text() && tokenizer.adds_bos() != adds_bos && tokenizer.bos_id())
    set_adds_bos(files, adds_bos, tokenizer.piece(*tokenizer.bos_id()), *tokenizer.bos_id());
  return files;
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
    report_evaluation(data.validation, config.data, "data.validation", *log);
}

void report_evaluation(const std::vector<TokenFile>& files, const DataConfig& config,
                       const std::string& name, const Log& log) {
  say(evaluation_report(Rows(open_again(files), config), config, name), log);
}

RunIdentity identity_of(const RunConfig& config, const Choices& choices, const RunData& data,
                        const torch::Device& device, int64_t num_ranks) {
  RunIdentity identity;
  identity.config = effective_values(config, choices);
  for (const TokenFile& file : data.train)
    identity.train_data += (identity.train_data.empty() ? "" : " ") + file.info().content_checksum;
  identity.tokenizer = data.tokenizer.checksum();
  identity.numerics = numerics_fingerprint(device);
  if (num_ranks > 1) identity.numerics += cat(", ", num_ranks, " processes");
  identity.learning_rate = [scheduler = config.lr_scheduler, peak = config.optimizer.lr,
                            total = config.total_steps()](int64_t step) {
    return learning_rate(scheduler, peak, step, total);
  };
  return identity;
}

TrainState start_state(const RunConfig& config, const torch::Device& device, const Choices& choices,
                       const Log& log, Shard optimizer_shard) {
  const std::string& start = config.train.init_from;
  TrainState state = make_train_state(config, resolve_plan(config.model), device,
                                      /*start=*/start.empty(), optimizer_shard);
  if (start.empty()) return state;
  warn_of_edits(start, log);
  require_same_plan(start, state.model->plan(), choices);
  load_weights(start, state.model, choices);
  warn_of_read_over(start, read_model_config(start, choices), log);
  log.info(cat("started from ", start));
  return state;
}

EvaluationSource evaluation_batches(const std::vector<TokenFile>& files, const DataConfig& config,
                                    int64_t rows_per_batch, Parallel* parallel) {
  const Shard shard = parallel ? Shard{parallel->rank(), parallel->size()} : Shard{};
  const auto loader = std::make_shared<const EvaluationLoader>(
      open_again(files), config, rows_per_batch * shard.world_size, shard);
  return [loader, parallel, next = int64_t{0}]() mutable -> std::optional<Batch> {
    if (next == loader->num_batches()) return std::nullopt;
    if (parallel != nullptr) parallel->agree();
    return loader->batch(next++);
  };
}

Perplexity score(Llama& model, const std::vector<TokenFile>& files, const DataConfig& config,
                 int64_t rows_per_batch, const StopFlag& stop, Parallel* parallel) {
  return evaluate_perplexity(model, evaluation_batches(files, config, rows_per_batch, parallel),
                             stop, parallel);
}

Tokenizer load_tokenizer(const std::filesystem::path& model_directory) {
  const std::filesystem::path path = find_tokenizer(model_directory);
  if (path.empty())
    throw CheckpointError(cat(model_directory.string(),
                              " holds neither tokenizer.model nor tokenizer.json; copy the model's "
                              "tokenizer there"));
  return Tokenizer::load(path);
}

CheckpointContent checkpoint_content(const RunConfig& config, const RunData& data,
                                     const RunIdentity& identity, const Choices& choices) {
  const std::string& start = config.train.init_from;
  CheckpointContent content{
      .identity = identity, .choices = choices, .tokenizer = {}, .tokens = {}};
  content.tokens = special_tokens(data.tokenizer);
  if (!start.empty()) {
    const SavedModelConfig saved = read_model_config(start, choices);
    content.tokens = saved.tokens;
    content.model_type = saved.model_type;
  }
  content.tokenizer = tokenizer_files(config, source_of(config, data.tokenizer));
  return content;
}

}  // namespace fathom
