// The whole run: model, data, training, optimizer, schedule, and what is written when.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/config/model_config.h"

namespace fathom {

/// What text, and how it becomes rows of tokens.
struct DataConfig {
  std::vector<std::string> train;
  std::vector<std::string> validation;
  std::string tokenizer;
  int64_t sequence_length = 256;
  std::string mode = "packed";      ///< packed: joined and cut; documents: one a row, cut or padded
  bool document_attention = false;  ///< packed: attention stays within a document
  bool add_bos = false;
  int64_t shuffle_seed = 32;
  int64_t validation_tokens = 10'000'000;
  std::string text_field = "text";
  std::string on_missing_text = "error";
  std::string on_invalid_utf8 = "error";
  int64_t max_document_bytes = 16 << 20;
  std::string cache_dir = "cache";

  void declare(Fields& f);
};

struct TrainConfig {
  std::optional<int64_t> max_steps;
  std::optional<int64_t> max_tokens;
  std::optional<double> max_epochs;
  std::optional<int64_t> steps_of_epochs;  ///< no key: RunConfig::resolve_epochs sets it
  int64_t global_batch_size = 512;
  std::optional<int64_t> micro_batch_size;  ///< default: global_batch_size
  std::string precision = "fp32";
  int64_t seed = 1;
  bool deterministic = false;
  double grad_clip = 0.0;
  bool activation_checkpointing = false;
  std::string device = "auto";
  std::optional<int64_t> threads;
  std::string kernels = "auto";
  std::string attention = "auto";
  bool cuda_graph = false;
  std::string init_from;  ///< directory of a model whose weights the run starts from
  std::string out_dir = "out";

  int64_t rows_per_micro_batch() const { return micro_batch_size.value_or(global_batch_size); }
  void declare(Fields& f);
};

struct OptimizerConfig {
  std::string name = "adam";
  double lr = 1e-3;
  std::vector<double> betas = {0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0.0;
  bool stochastic_rounding = false;
  double momentum = 0.95;
  bool nesterov = true;
  int64_t newton_schulz_steps = 5;
  std::string update_scale = "match_rms_adamw";

  void declare(Fields& f);
};

struct SchedulerConfig {
  std::string type = "cosine";
  int64_t warmup_steps = 0;
  std::optional<double> warmup_ratio;  ///< instead of warmup_steps: of all steps, rounded up
  double min_lr_ratio = 0.1;
  std::optional<double> min_lr;        ///< instead of min_lr_ratio
  std::optional<int64_t> decay_steps;  ///< wsd: default a tenth of all steps

  /// Steps of warm-up in a run of `total_steps`.
  int64_t warmup(int64_t total_steps) const;
  /// Last learning rate over the peak.
  double last_ratio(double peak) const { return min_lr ? *min_lr / peak : min_lr_ratio; }

  void declare(Fields& f);
};

struct EvalConfig {
  int64_t interval = 1000;
  void declare(Fields& f);
};

struct CheckpointConfig {
  int64_t interval = 1000;
  int64_t keep_last = 2;
  std::string on_sigusr1 = "end";
  void declare(Fields& f);
};

struct LogConfig {
  int64_t interval = 10;
  bool tensorboard = true;
  void declare(Fields& f);
};

/// Text that is generated while a model trains.
struct SampleConfig {
  int64_t interval = 0;
  std::vector<std::string> prompts;
  int64_t max_new_tokens = 64;
  double temperature = 0.8;
  double top_p = 0.95;
  int64_t seed = 0;

  void declare(Fields& f);
};

/// What is measured of each layer while a model trains.
struct ProbeConfig {
  std::string name = "variance";
  int64_t interval = 1000;
  int64_t tokens = 8192;

  void declare(Fields& f);
};

/// Several processes that train one model; without effect where there is one.
struct ParallelConfig {
  std::string backend = "auto";
  int64_t zero_stage = 0;
  int64_t timeout_seconds = 300;
  int64_t checksum_interval = 100;

  void declare(Fields& f);
};

struct RunConfig {
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  OptimizerConfig optimizer;
  SchedulerConfig lr_scheduler;
  EvalConfig eval;
  CheckpointConfig checkpoint;
  LogConfig log;
  SampleConfig sample;
  std::vector<ProbeConfig> probes;
  ParallelConfig parallel;

  void declare(Fields& f);
  /// Steps of the whole run: max_steps, or as many as max_tokens positions or max_epochs take.
  /// @throws ConfigError for max_epochs before `resolve_epochs`
  int64_t total_steps() const;
  /// Whether total_steps is known: all but max_epochs say it without the data.
  bool knows_steps() const { return !train.max_epochs || train.steps_of_epochs; }
  /// Says how many rows train.max_epochs goes through. @throws ConfigError for what the number of
  /// steps contradicts
  void resolve_epochs(uint64_t rows);
  /// Checks rules between keys. @returns the broken rules, in words that start with a key's path
  std::vector<std::string> inconsistencies() const;
};

}  // namespace fathom
