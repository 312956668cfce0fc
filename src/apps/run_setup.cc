#include "apps/run_setup.h"

#include "fathom/data/prepare.h"
#include "fathom/train/device.h"

namespace fathom {

RunData load_data(const RunConfig& config, const Log& log, const StopFlag& stop) {
  if (config.data.tokenizer.empty())
    throw ConfigError(
        "data.tokenizer is not set; name a SentencePiece .model (train-llm tokenizer train makes "
        "one)");
  if (config.data.train.empty())
    throw ConfigError("data.train is not set; name text files, folders, globs or token files");
  RunData data{.tokenizer = Tokenizer::load(config.data.tokenizer), .train = {}, .validation = {}};
  check_vocabulary(data.tokenizer, config.model.vocab_size);
  data.train = prepared(config.data.train, config.data, data.tokenizer, "prepare train", log, stop);
  if (!config.data.validation.empty())
    data.validation = prepared(config.data.validation, config.data, data.tokenizer,
                               "prepare validation", log, stop);
  return data;
}

RunIdentity identity_of(const RunConfig& config, const Choices& choices, const RunData& data,
                        const torch::Device& device) {
  RunIdentity identity;
  identity.config = effective_values(config, choices);
  for (const TokenFile& file : data.train)
    identity.train_data += (identity.train_data.empty() ? "" : " ") + file.info().content_checksum;
  identity.tokenizer = data.tokenizer.checksum();
  identity.numerics = numerics_fingerprint(device);
  return identity;
}

EvaluationSource evaluation_batches(const std::vector<TokenFile>& files, const DataConfig& config,
                                    int64_t rows_per_batch) {
  std::vector<TokenFile> opened;
  for (const TokenFile& file : files) opened.push_back(TokenFile::open(file.path()));
  const auto loader =
      std::make_shared<const EvaluationLoader>(std::move(opened), config, rows_per_batch);
  return [loader, next = int64_t{0}]() mutable -> std::optional<Batch> {
    if (next == loader->num_batches()) return std::nullopt;
    return loader->batch(next++);
  };
}

Perplexity score(Llama& model, const std::vector<TokenFile>& files, const DataConfig& config,
                 int64_t rows_per_batch, const StopFlag& stop) {
  return evaluate_perplexity(model, evaluation_batches(files, config, rows_per_batch), stop);
}

SpecialTokens special_tokens(const Tokenizer& tokenizer) {
  const auto id = [](std::optional<int32_t> value) -> std::optional<int64_t> { return value; };
  return {
      .bos = id(tokenizer.bos_id()), .eos = id(tokenizer.eos_id()), .pad = id(tokenizer.pad_id())};
}

}  // namespace fathom
