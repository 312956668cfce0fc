#include "fathom/config/run_config.h"

#include <cmath>

#include "fathom/base/error.h"
#include "fathom/config/context.h"

namespace fathom {

void DataConfig::declare(Fields& f) {
  f.add("train", &train, "training text or token files: paths, folders, globs");
  f.add("validation", &validation, "validation text or token files: paths, folders, globs");
  f.add("tokenizer", &tokenizer, "SentencePiece .model file");
  f.add("sequence_length", &sequence_length, "tokens in a row",
        {.at_least = 2, .at_most = 1 << 24});
  f.one_of("mode", mode, {"packed", "documents"},
           "packed: documents joined, cut in rows; documents: one document a row, cut or padded");
  f.when(
      "data.mode is packed", [this] { return mode == "packed"; }, "document_attention",
      &document_attention, "attention stays within a document");
  f.add("add_bos", &add_bos, "each document starts with the tokenizer's BOS (each ends with EOS)");
  f.add("shuffle_seed", &shuffle_seed, "order of the rows", {.at_least = 0});
  f.add("validation_tokens", &validation_tokens, "tokens that an evaluation scores, at most",
        {.at_least = 1});
  f.add("text_field", &text_field, "field of a JSON document that holds its text");
  f.one_of("on_missing_text", on_missing_text, {"error", "skip"},
           "a JSON document whose text is missing, null or no text; error: stop and name it; skip: "
           "leave it out");
  f.one_of("on_invalid_utf8", on_invalid_utf8, {"error", "replace", "skip"},
           "error: stop and name the byte; replace: by U+FFFD; skip: leave the document out");
  f.add("max_document_bytes", &max_document_bytes, "longest JSON line that is read",
        {.at_least = 1, .at_most = 1 << 30});
  f.add("cache_dir", &cache_dir, "where token files made from text are kept");
}

void TrainConfig::declare(Fields& f) {
  f.add("max_steps", &max_steps, "optimizer steps (this, max_tokens or max_epochs)",
        {.at_least = 1, .at_most = 1e12});
  f.add("max_tokens", &max_tokens, "positions to train on, rounded up to whole steps",
        {.at_least = 1, .at_most = 1e17});
  f.add("max_epochs", &max_epochs,
        "times to go through data.train, such as 3 or 0.5, rounded up to whole steps",
        {.above = 0, .at_most = 1e6});
  f.rivals({"max_steps", "max_tokens", "max_epochs"});
  f.add("global_batch_size", &global_batch_size, "rows in an optimizer step",
        {.at_least = 1, .at_most = 1 << 24});
  f.add("micro_batch_size", &micro_batch_size,
        "rows that go through the model at once (default: global_batch_size)",
        {.at_least = 1, .at_most = 1 << 24});
  f.one_of("precision", precision, {"fp32", "bf16_mixed", "bf16"},
           "bf16_mixed: fp32 weights and optimizer, bf16 compute; bf16: everything in bf16");
  f.add("seed", &seed, "start values of the weights, and of stochastic rounding", {.at_least = 0});
  f.add("deterministic", &deterministic,
        "refuse nondeterministic kernels, and a resume on other threads or instructions");
  f.add("grad_clip", &grad_clip, "largest norm of the gradient; 0 = no clipping", {.at_least = 0});
  f.add("activation_checkpointing", &activation_checkpointing,
        "recompute each block in the backward pass: less memory, more time");
  f.one_of("device", device, {"auto", "cpu", "cuda"}, "auto: a GPU if there is one");
  f.add("threads", &threads, "CPU threads (default: OMP_NUM_THREADS, else all cores)",
        {.at_least = 1, .at_most = 4096});
  f.one_of("kernels", kernels, {"auto", "fused", "reference"},
           "fused: Fathom's own kernels; reference: plain LibTorch; auto: fused on a CPU");
  f.one_of("attention", attention, {"auto", "measured", "flash", "cudnn", "efficient"},
           "LibTorch's attention on a GPU; measured: the fastest here; never run on a GPU yet");
  f.add("cuda_graph", &cuda_graph,
        "record a step on a GPU once and replay it, for small models; never run on a GPU yet");
  f.add("init_from", &init_from,
        "model directory to start from: its model.* and weights; optimizer and steps start anew");
  f.add("out_dir", &out_dir, "the run's directory");
}

void OptimizerConfig::declare(Fields& f) {
  f.choice("name", name, "update rule (list optimizers)");
  f.add("lr", &lr, "peak learning rate", {.above = 0, .at_most = 1000});
  f.add("betas", &betas, "decay of the first and the second moment", {.at_least = 0, .below = 1});
  f.add("eps", &eps, "added to the root of the second moment", {.above = 0});
  f.add("weight_decay", &weight_decay, "of matrices; norms and biases have none", {.at_least = 0});
  f.option_of({"name"}, "stochastic_rounding", &stochastic_rounding,
              "of bf16 weights and moments (train.precision=bf16): up or down with the odds of the "
              "distance");
  f.option_of({"name"}, "momentum", &momentum, "decay of Muon's momentum",
              {.at_least = 0, .below = 1});
  f.option_of({"name"}, "nesterov", &nesterov,
              "the update looks ahead: it is made of the gradient and the momentum");
  f.option_of({"name"}, "newton_schulz_steps", &newton_schulz_steps,
              "iterations that make the momentum orthogonal", {.at_least = 1, .at_most = 99});
  f.option_of({"name"}, "update_scale", &update_scale,
              "of Muon's update; match_rms_adamw: as large as AdamW's, so that one lr and "
              "weight_decay serve both; original: sqrt(max(1, rows / columns))",
              {}, {"match_rms_adamw", "original"});
}

void SchedulerConfig::declare(Fields& f) {
  f.choice("type", type, "learning rate over the steps (list schedules)");
  f.option_of({"type"}, "warmup_steps", &warmup_steps, "steps of linear warm-up from 0",
              {.at_least = 0});
  f.alternative("warmup_steps", "warmup_ratio", &warmup_ratio,
                "warm-up as a share of all steps, rounded up", {.at_least = 0, .at_most = 1});
  f.option_of({"type"}, "min_lr_ratio", &min_lr_ratio, "last learning rate over the peak",
              {.at_least = 0, .at_most = 1});
  f.alternative("min_lr_ratio", "min_lr", &min_lr, "last learning rate", {.at_least = 0});
  f.option_of({"type"}, "decay_steps", &decay_steps,
              "length of the decay at the end (default: a tenth of all steps)", {.at_least = 1});
}

void EvalConfig::declare(Fields& f) {
  f.add("interval", &interval, "steps between evaluations; 0 = only at the end", {.at_least = 0});
}

void CheckpointConfig::declare(Fields& f) {
  f.add("interval", &interval, "steps between checkpoints; 0 = only at the end", {.at_least = 0});
  f.add("keep_last", &keep_last, "checkpoints that are kept", {.at_least = 1});
  f.one_of("on_sigusr1", on_sigusr1, {"end", "continue"},
           "on SIGUSR1, which SLURM's --signal sends before the time is over, save and do this");
}

void LogConfig::declare(Fields& f) {
  f.add("interval", &interval, "steps between lines of metrics.jsonl", {.at_least = 1});
  f.add("tensorboard", &tensorboard, "write TensorBoard event files to OUT/tb");
}

void SampleConfig::declare(Fields& f) {
  f.add("interval", &interval, "steps between samples of text; 0 = none", {.at_least = 0});
  const std::string where = "sample.interval is above 0";
  const auto samples = [this] { return interval > 0; };
  f.when(where, samples, "prompts", &prompts, "texts that are continued");
  f.when(where, samples, "max_new_tokens", &max_new_tokens, "longest continuation",
         {.at_least = 1, .at_most = 1 << 20});
  f.when(where, samples, "temperature", &temperature, "0 = the most likely token",
         {.at_least = 0, .at_most = 100});
  f.when(where, samples, "top_p", &top_p, "sample from the likeliest tokens that hold so much",
         {.above = 0, .at_most = 1});
  f.when(where, samples, "seed", &seed, "the same seed and weights give the same text",
         {.at_least = 0});
}

void ProbeConfig::declare(Fields& f) {
  f.choice("name", name, "what is measured (list probes)");
  f.add("interval", &interval,
        "steps between measurements; also before the first and after the last", {.at_least = 1});
  f.add("tokens", &tokens, "predictions of data.validation that it looks at", {.at_least = 1});
}

void ParallelConfig::declare(Fields& f) {
  f.one_of("backend", backend, {"auto", "nccl"},
           "auto: Gloo, on CPUs; nccl: on GPUs, one for each process; never run on a GPU yet");
  f.add("zero_stage", &zero_stage,
        "1: each process keeps the optimizer's moments of its share of the parameters (ZeRO-1)",
        {.at_least = 0, .at_most = 1});
  f.add("timeout_seconds", &timeout_seconds,
        "a process that others wait for this long is lost; more than a step takes",
        {.at_least = 1, .at_most = 86400});
  f.add("checksum_interval", &checksum_interval,
        "steps between comparisons of gradients and weights across processes; 0 = never",
        {.at_least = 0});
}

void RunConfig::declare(Fields& f) {
  f.section("model", model);
  f.section("data", data);
  f.section("train", train);
  f.section("optimizer", optimizer);
  f.section("lr_scheduler", lr_scheduler);
  f.section("eval", eval);
  f.section("checkpoint", checkpoint);
  f.section("log", log);
  f.section("sample", sample);
  f.sections("probes", probes, "measurements of each layer during training");
  f.section("parallel", parallel);
}

int64_t SchedulerConfig::warmup(int64_t total_steps) const {
  if (!warmup_ratio) return warmup_steps;
  return static_cast<int64_t>(std::ceil(*warmup_ratio * static_cast<double>(total_steps)));
}

int64_t RunConfig::total_steps() const {
  if (train.max_steps) return *train.max_steps;
  const int64_t per_step = train.global_batch_size * data.sequence_length;
  if (train.max_tokens) return (*train.max_tokens + per_step - 1) / per_step;
  if (train.max_epochs && !train.steps_of_epochs)
    throw ConfigError(cat("train.max_epochs is ", *train.max_epochs,
                          ", and without the data its steps aren't known; set data.train, or "
                          "train.max_steps"));
  return train.steps_of_epochs.value_or(0);
}

void RunConfig::resolve_epochs(uint64_t rows) {
  if (!train.max_epochs) return;
  const double steps =
      *train.max_epochs * static_cast<double>(rows) / static_cast<double>(train.global_batch_size);
  constexpr double kRounding = 1e-12;  // 1.1 epochs of 10 steps are 11, not 12
  train.steps_of_epochs =
      std::max<int64_t>(1, static_cast<int64_t>(std::ceil(steps * (1 - kRounding))));
  if (const std::vector<std::string> broken = inconsistencies(); !broken.empty())
    throw ConfigError(join(broken, "; "));
}

namespace {

/// Rules that the number of steps is part of.
void check_steps(const RunConfig& config, std::vector<std::string>& broken) {
  const TrainConfig& train = config.train;
  const int num_set =
      (train.max_steps ? 1 : 0) + (train.max_tokens ? 1 : 0) + (train.max_epochs ? 1 : 0);
  if (num_set == 0)
    broken.emplace_back(
        "train.max_steps and train.max_tokens are both missing; set one, or train.max_epochs");
  if (num_set > 1)
    broken.emplace_back(
        "train.max_steps, train.max_tokens and train.max_epochs: more than one is set; keep one");
  if (num_set != 1 || !config.knows_steps()) return;
  constexpr double kMaxPositions = 1e18;
  const int64_t steps = config.total_steps();
  const double positions = static_cast<double>(steps) *
                           static_cast<double>(train.global_batch_size) *
                           static_cast<double>(config.data.sequence_length);
  if (positions > kMaxPositions)
    broken.push_back(cat(train.max_steps ? "train.max_steps is " : "train.max_tokens is ",
                         train.max_steps.value_or(train.max_tokens.value_or(0)),
                         "; the run would see more than 1e18 tokens"));
  if (config.lr_scheduler.warmup_steps > steps && !config.lr_scheduler.warmup_ratio)
    broken.push_back(cat("lr_scheduler.warmup_steps is ", config.lr_scheduler.warmup_steps,
                         "; the run has only ", steps,
                         " steps: set fewer, or lr_scheduler.warmup_ratio, such as 0.1"));
}

/// Rules of what is observed in training.
void check_observers(const RunConfig& config, std::vector<std::string>& broken) {
  if (config.sample.interval > 0 && config.sample.prompts.empty())
    broken.emplace_back(
        "sample.prompts is empty; name a text to continue, or set "
        "sample.interval=0");
  for (size_t i = 0; i < config.probes.size(); ++i) {
    const std::string path = cat("probes.", i, ".name");
    for (size_t j = 0; j < i; ++j) {
      if (config.probes[j].name == config.probes[i].name)
        broken.push_back(
            cat(path, " is ", config.probes[i].name, ", as probes.", j, ".name is; keep one"));
    }
  }
  if (!config.probes.empty() && config.data.validation.empty())
    broken.emplace_back("probes.0.name is set, but data.validation isn't: probes look at its text");
}

}  // namespace

std::vector<std::string> RunConfig::inconsistencies() const {
  std::vector<std::string> broken = model.inconsistencies();
  check_steps(*this, broken);
  check_observers(*this, broken);
  if (train.global_batch_size % train.rows_per_micro_batch() != 0)
    broken.push_back(cat("train.micro_batch_size is ", train.rows_per_micro_batch(),
                         "; it must divide global_batch_size (", train.global_batch_size,
                         "): set both"));
  if (data.sequence_length > longest_context(model))
    broken.push_back(cat("data.sequence_length is ", data.sequence_length,
                         ", and the model's longest context ", longest_context(model),
                         "; raise model.max_position_embeddings (", model.max_position_embeddings,
                         ")"));
  if (optimizer.betas.size() != 2)
    broken.push_back(cat("optimizer.betas has ", optimizer.betas.size(),
                         " number(s); it needs two, such as [0.9, 0.999]"));
  if (optimizer.stochastic_rounding && (train.precision != "bf16" || train.kernels == "reference"))
    broken.push_back(cat("optimizer.stochastic_rounding is true with train.precision=",
                         train.precision, " and train.kernels=", train.kernels,
                         "; it needs train.precision=bf16 and train.kernels=auto or fused"));
  if (lr_scheduler.min_lr && *lr_scheduler.min_lr > optimizer.lr)
    broken.push_back(cat("lr_scheduler.min_lr is ", *lr_scheduler.min_lr,
                         "; it must be at most the peak, optimizer.lr (", optimizer.lr, ")"));
  return broken;
}

}  // namespace fathom
