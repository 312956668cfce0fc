// train-llm train: wires data, model, optimizer and observers, and trains.

#include <filesystem>

#include "apps/commands.h"
#include "apps/run_setup.h"
#include "fathom/base/file.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/io/observers.h"
#include "fathom/io/run_lock.h"
#include "fathom/model/check.h"
#include "fathom/model/cost.h"
#include "fathom/train/device.h"
#include "fathom/train/trainer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

/// The checkpoint that --resume asks for; nothing means a new run.
std::optional<fs::path> checkpoint_to_resume(const std::string& resume, const fs::path& root,
                                             const Log& log, const StopFlag& stop) {
  if (resume == "never") {
    if (!find_checkpoints(root).empty())
      throw ConfigError(cat("--resume is never, but ", root.string(),
                            " holds checkpoints; use --resume auto, another train.out_dir, or "
                            "remove them"));
    return std::nullopt;
  }
  if (resume != "auto") {
    const fs::path directory = find_checkpoints(fs::path(resume) / "checkpoints").empty()
                                   ? fs::path(resume)
                                   : find_model(resume, stop, log);
    verify(directory, stop);
    return directory;
  }
  std::vector<SkippedCheckpoint> skipped;
  const std::optional<Checkpoint> newest = newest_valid(root, skipped, stop);
  for (const SkippedCheckpoint& bad : skipped)
    log.warn(cat("skipped ", bad.directory.string(), ": ", bad.reason));
  if (!newest) return std::nullopt;
  return newest->directory;
}

/// Evaluates every eval.interval steps, at the start and at the end.
class EvaluationObserver : public Observer {
 public:
  EvaluationObserver(const RunConfig& config, const RunData& data, RunOutput& output,
                     const StopFlag& stop)
      : config_(config), data_(data), output_(output), stop_(stop) {}

  void on_start(TrainState& state) override {
    if (is_due(state)) evaluate(state);
  }
  void on_step(const StepEvent& event) override {
    if (is_due(event.state)) evaluate(event.state);
  }
  void on_end(TrainState& state, bool complete) override {
    if (complete && state.evaluated_step != state.step) evaluate(state);
  }

 private:
  /// Also true after a resume from a checkpoint that a signal made before this step was evaluated.
  bool is_due(const TrainState& state) const {
    const int64_t interval = config_.eval.interval;
    return state.evaluated_step != state.step &&
           (state.step == 0 || (interval > 0 && state.step % interval == 0));
  }

  void evaluate(TrainState& state) {
    if (data_.validation.empty()) return;
    const Perplexity result = score(state.model, data_.validation, config_.data,
                                    config_.train.rows_per_micro_batch(), stop_);
    state.evaluated_step = state.step;
    output_.record("eval", state,
                   {{"val/loss", result.loss},
                    {"val/ppl", result.perplexity()},
                    {"val/unigram_loss", result.unigram_loss},
                    {"val/tokens", result.targets}});
    output_.progress().line(cat("step ", state.step, " val/loss ", result.loss, " val/ppl ",
                                result.perplexity(), " on ", result.targets, " tokens"));
  }

  const RunConfig& config_;
  const RunData& data_;
  RunOutput& output_;
  const StopFlag& stop_;
};

/// A model that isn't what its plan says must not be trained.
void require_plan(Llama& model, const RunConfig& config) {
  const std::string found =
      first_disagreement(check_model(model, resolve_plan(config.model), {.start_values = false}));
  if (!found.empty()) throw TrainingError(cat("the built model isn't what its plan says: ", found));
}

struct Resumed {
  TrainState state;
  std::optional<int64_t> step;
};

/// The state to train from: new, that of a model's weights, or a checkpoint's.
Resumed make_state(const RunConfig& config, const torch::Device& device,
                   const std::optional<fs::path>& checkpoint, const RunIdentity& identity,
                   const Choices& choices, const Log& log) {
  const std::string& start = config.train.init_from;
  TrainState state = make_train_state(config, resolve_plan(config.model), device,
                                      /*start=*/!checkpoint && start.empty());
  if (!checkpoint && !start.empty()) {
    require_same_plan(start, state.model->plan(), choices);
    load_weights(start, state.model, choices);
    log.info(cat("started from ", start));
  }
  if (!checkpoint) return {std::move(state), std::nullopt};
  load_checkpoint(*checkpoint, state, identity, config.train.deterministic, log);
  log.info(cat("resumed ", checkpoint->string(), " at step ", state.step));
  const int64_t step = state.step;
  return {std::move(state), step};
}

void train_run(const LoadedConfig& loaded, const std::string& resume, Invocation& invocation) {
  const RunConfig& config = loaded.config;
  const Log& log = invocation.log();
  const StopFlag& stop = invocation.stop();
  const fs::path out_dir = config.train.out_dir;
  const fs::path root = out_dir / "checkpoints";
  const RunLock lock(out_dir);
  require_writable(out_dir);
  for (const std::string& warning : known_bad_pairings(config.model)) log.warn(warning);
  const torch::Device device = choose_device(config.train.device);
  apply_runtime_settings(config.train);
  const RunData data = load_data(config, log, stop);
  if (data.validation.empty()) log.info("data.validation is not set: nothing will be evaluated");
  remove_leftovers(root, stop);
  const auto checkpoint = checkpoint_to_resume(resume, root, log, stop);
  const RunIdentity identity = identity_of(config, invocation.choices(), data, device);
  auto [state, resume_step] =
      make_state(config, device, checkpoint, identity, invocation.choices(), log);
  if (resume_step) set_aside_newer(root, *resume_step);
  require_plan(state.model, config);
  write_text_file(out_dir / "config.yaml", dump_yaml(config, invocation.choices()));

  log.info(cat("training ", count_parameters(config.model, state.model->plan()).total(),
               " parameters on ", device_name(device), ", ", identity.numerics, ", into ",
               out_dir.string()));
  RunOutput output(out_dir, resume_step, config.total_steps(), config.log.tensorboard, log);
  MetricsObserver metrics(output, config,
                          training_flops_per_token(config.model, config.data.sequence_length));
  EvaluationObserver evaluation(config, data, output, stop);
  CheckpointObserver checkpoints(root,
                                 checkpoint_content(config, data, identity, invocation.choices()),
                                 config.checkpoint, output, stop);
  std::vector<TokenFile> files;
  for (const TokenFile& file : data.train) files.push_back(TokenFile::open(file.path()));
  const Loader loader(std::move(files), config.data, config.train.global_batch_size);
  PrefetchingLoader ahead(loader, state.step, /*depth=*/4);
  int64_t next_step = state.step;
  const auto batches = [&](int64_t step) {
    if (step != next_step) return loader.batch(step);  // a step that is looked at again
    ++next_step;
    return ahead.next();
  };
  train(config, state, batches, {&metrics, &evaluation, &checkpoints}, stop,
        invocation.integer("stop-after", INT64_MAX, 1, INT64_MAX));
}

int run(Invocation& invocation) {
  train_run(invocation.load_config(), invocation.text("resume", "auto"), invocation);
  return 0;
}

}  // namespace

Command train_command() {
  return {
      .name = "train",
      .summary = "trains; goes on from the newest valid checkpoint in train.out_dir",
      .usage = "CONFIG [overrides] [--resume auto|never|DIR] [--stop-after STEP]",
      .example =
          "train-llm train 130m data.train=c4/ data.tokenizer=t5.model "
          "model.norm.placement=lns train.out_dir=out/lns",
      .min_arguments = 1,
      .max_arguments = 1,
      .takes_config = true,
      .flags = {{"resume", "auto|never|DIR",
                 "auto: the newest valid checkpoint of train.out_dir, if any; never: a new run; "
                 "DIR: that checkpoint"},
                {"stop-after", "STEP", "save after this step and end, to be resumed"}},
      .run = run};
}

}  // namespace fathom
