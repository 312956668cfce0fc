#include "fathom/run/run_start.h"

#include "fathom/base/error.h"
#include "fathom/config/context.h"
#include "fathom/config/describe.h"
#include "fathom/config/load.h"
#include "fathom/hugging_face/model_files.h"
#include "fathom/runtime/device.h"
#include "fathom/tokenizer/tokenizer_files.h"
#include "fathom/train/schedule.h"

namespace fathom {
namespace {

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
