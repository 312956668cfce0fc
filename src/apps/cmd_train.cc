// train-llm train: wires data, model, optimizer and observers, and trains.

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "apps/commands.h"
#include "apps/run_end.h"
#include "apps/run_setup.h"
#include "fathom/base/cores.h"
#include "fathom/base/file.h"
#include "fathom/base/hash.h"
#include "fathom/base/number.h"
#include "fathom/base/output_path.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/io/disk_room.h"
#include "fathom/io/observers.h"
#include "fathom/io/run_lock.h"
#include "fathom/model/check.h"
#include "fathom/model/cost.h"
#include "fathom/train/attention_choice.h"
#include "fathom/train/device.h"
#include "fathom/train/parallel.h"
#include "fathom/train/trainer.h"
#include "fathom/version.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

/// The checkpoint that --resume asks for; nothing means a new run. One that holds the model alone
/// counts where no step is left.
std::optional<Checkpoint> checkpoint_to_resume(const std::string& resume, const fs::path& root,
                                               int64_t total_steps, const Log& log,
                                               const StopFlag& stop) {
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
    return verify(directory, stop);
  }
  std::vector<SkippedCheckpoint> skipped;
  const std::optional<Checkpoint> newest =
      newest_valid(root, skipped, stop, [&](const Checkpoint& checkpoint) {
        return checkpoint.step >= total_steps ? "" : why_not_resumable(checkpoint.directory);
      });
  for (const SkippedCheckpoint& bad : skipped)
    log.warn(cat("skipped ", bad.directory.string(), ": ", bad.reason));
  return newest;
}

/// Rows of this rank that go through the model at once.
int64_t rows_at_once(const RunConfig& config, const Parallel& parallel) {
  return std::min(config.train.rows_per_micro_batch(),
                  config.train.global_batch_size / parallel.size());
}

/// Evaluates every eval.interval steps, at the start and at the end, on all ranks together.
class EvaluationObserver : public Observer {
 public:
  /// @param output null on ranks that don't write
  EvaluationObserver(const RunConfig& config, const RunData& data, RunOutput* output,
                     Parallel& parallel)
      : config_(config), data_(data), output_(output), parallel_(parallel) {}

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
  /// Also true after a resume from a checkpoint that a signal made before this step was evaluated,
  /// and at the last step, so that its checkpoint knows of the evaluation.
  bool is_due(const TrainState& state) const {
    const int64_t interval = config_.eval.interval;
    const bool first_or_last = state.step == 0 || state.step == config_.total_steps();
    return state.evaluated_step != state.step &&
           (first_or_last || (interval > 0 && state.step % interval == 0));
  }

  Perplexity score_here(TrainState& state) {
    return score(state.model, data_.validation, config_.data, rows_at_once(config_, parallel_),
                 parallel_.stop(), parallel_.if_several());
  }

  Perplexity score_in_sight(TrainState& state) {
    const Progress::Pause pause = output_->progress().pause("evaluating");
    return score_here(state);
  }

  void evaluate(TrainState& state) {
    if (data_.validation.empty()) return;
    parallel_.enter("evaluation");
    const Perplexity result = output_ == nullptr ? score_here(state) : score_in_sight(state);
    state.evaluated_step = state.step;
    if (output_ == nullptr) return;
    output_->record("eval", state,
                    {{"val/loss", result.loss},
                     {"val/ppl", result.perplexity()},
                     {"val/unigram_loss", result.unigram_loss},
                     {"val/tokens", result.targets}});
    output_->progress().line(
        cat("step ", state.step, "/", config_.total_steps(), " val/loss ", loss_text(result.loss),
            " val/ppl ", perplexity_text(result.perplexity()), " on ", result.targets, " tokens"));
  }

  const RunConfig& config_;
  const RunData& data_;
  RunOutput* output_;
  Parallel& parallel_;
};

/// A model that isn't what its plan says must not be trained.
void require_plan(Llama& model, const RunConfig& config) {
  const std::string found =
      first_disagreement(check_model(model, resolve_plan(config.model), {.start_values = false}));
  if (!found.empty()) throw TrainingError(cat("the built model isn't what its plan says: ", found));
}

struct Resumed {
  TrainState state;
  std::optional<ResumePoint> from;
};

/// The state to train from: a new run's, or a checkpoint's.
Resumed make_state(const RunConfig& config, const torch::Device& device,
                   const std::optional<fs::path>& checkpoint, const RunIdentity& identity,
                   const Choices& choices, Shard optimizer_shard, const Log& log) {
  if (!checkpoint)
    return {start_state(config, device, choices, log, optimizer_shard), std::nullopt};
  TrainState state = make_train_state(config, resolve_plan(config.model), device, /*start=*/false,
                                      optimizer_shard);
  load_checkpoint(*checkpoint, state, identity, config.train.deterministic, log);
  log.info(cat("resumed ", checkpoint->string(), " at step ", state.step));
  const ResumePoint from{state.step, state.evaluated_step};
  return {std::move(state), from};
}

/// What several ranks need of a config.
/// @throws ConfigError where the batch can't be shared evenly
RunConfig config_of_rank(RunConfig config, const Launch& launch) {
  if (config.train.global_batch_size % launch.world_size != 0)
    throw ConfigError(cat("train.global_batch_size is ", config.train.global_batch_size,
                          "; it must be a multiple of the number of processes (", launch.world_size,
                          ")"));
  if (launch.world_size > 1 && !config.train.threads)
    config.train.threads = num_threads(launch.local_world_size);
  return config;
}

/// What a killed run left goes; what can't be removed is no reason not to train.
void tidy(const fs::path& root, const Log& log, const StopFlag& stop) {
  try {
    remove_leftovers(root, stop);
  } catch (const DiskError& error) {
    log.warn(cat(error.what(), "; each save tries again"));
  }
}

/// What the run will save must have room: it is said before the work.
void warn_of_small_disk(const RunConfig& config, const fs::path& root, const Log& log) {
  const int64_t interval = config.checkpoint.interval;
  int64_t num_saves = interval == 0 ? 1 : INT64_MAX;
  if (interval > 0 && config.knows_steps()) num_saves = config.total_steps() / interval + 1;
  const std::string warning = check_room(root, checkpoint_bytes(config, resolve_plan(config.model)),
                                         config.checkpoint.keep_last, num_saves);
  if (!warning.empty()) log.warn(warning);
}

/// Takes the output directory and finds the checkpoint to go on from: on rank 0, for all.
std::optional<fs::path> open_output(const RunConfig& config, const fs::path& out_dir,
                                    const std::string& resume, Invocation& invocation,
                                    Parallel& parallel, std::optional<RunLock>& lock) {
  const std::string found = parallel.on_main("start", [&]() -> std::string {
    const fs::path root = out_dir / "checkpoints";
    const Log& log = invocation.log();
    lock.emplace(out_dir);
    require_writable(out_dir);
    for (const std::string& warning : known_bad_pairings(config.model)) log.warn(warning);
    tidy(root, log, invocation.stop());
    const int64_t total = config.knows_steps() ? config.total_steps() : INT64_MAX;
    const auto checkpoint = checkpoint_to_resume(resume, root, total, log, invocation.stop());
    if (!checkpoint || checkpoint->step < total) warn_of_small_disk(config, root, log);
    return checkpoint ? fs::absolute(checkpoint->directory).string() : "";
  });
  if (found.empty()) return std::nullopt;
  return found;
}

/// Trains with observers of this rank: all evaluate and save together, rank 0 writes.
void train_observed(const RunConfig& config, const RunData& data, const RunIdentity& identity,
                    TrainState& state, std::optional<ResumePoint> resume, const fs::path& out_dir,
                    Invocation& invocation, Parallel& parallel, RunEnd& end) {
  std::optional<RunOutput> output;
  std::optional<MetricsObserver> metrics;
  std::vector<Observer*> observers;
  if (parallel.is_main()) {
    output.emplace(out_dir, resume, config.total_steps(), config.log.tensorboard, invocation.log());
    const double flops = training_flops_per_token(config.model, config.data.sequence_length);
    metrics.emplace(*output, config, flops / static_cast<double>(parallel.size()));
    observers.push_back(&*metrics);
  }
  RunOutput* writer = output ? &*output : nullptr;
  EvaluationObserver evaluation(config, data, writer, parallel);
  CheckpointObserver checkpoints(out_dir / "checkpoints",
                                 checkpoint_content(config, data, identity, invocation.choices()),
                                 config.checkpoint, writer, parallel);
  observers.insert(observers.end(), {&end, &evaluation, &checkpoints});
  const Loader loader(open_again(data.train), config.data, config.train.global_batch_size);
  PrefetchingLoader ahead(loader, state.step, /*depth=*/4);
  int64_t next_step = state.step;
  const auto batches = [&](int64_t step) {
    if (step != next_step) return loader.batch(step);  // a step that is looked at again
    ++next_step;
    return ahead.next();
  };
  train(config, state, batches, observers, parallel.stop(),
        invocation.integer("stop-after", INT64_MAX, 1, INT64_MAX), parallel.if_several());
}

void train_run(RunConfig config, const fs::path& out_dir, const std::string& wanted,
               Invocation& invocation, Parallel& parallel, RunEnd& end) {
  const Log log(/*quiet=*/!parallel.is_main());
  std::optional<RunLock> lock;
  const auto checkpoint = open_output(config, out_dir, wanted, invocation, parallel, lock);
  if (checkpoint && wanted == "auto" && !why_not_resumable(*checkpoint).empty())
    return end.set_complete(config.total_steps());
  const torch::Device device = choose_device(config.train.device, parallel.local_rank());
  for (const std::string& line : check_device(config, device, parallel.size())) log.warn(line);
  apply_runtime_settings(config.train);
  const int64_t rows = rows_at_once(config, parallel);
  if (const std::string chosen = choose_attention(config, rows, device); !chosen.empty())
    log.info(chosen);
  const RunData data = load_data(config, log, invocation.stop(), parallel);
  settle_data(config, data, parallel.is_main() ? &log : nullptr);
  end.set_config(config);
  if (data.validation.empty()) log.info("data.validation is not set: nothing will be evaluated");
  const RunIdentity identity =
      identity_of(config, invocation.choices(), data, device, parallel.size());
  parallel.enter("building the model");
  auto [state, resume] = make_state(config, device, checkpoint, identity, invocation.choices(),
                                    parallel.optimizer_shard(), log);
  require_plan(state.model, config);
  parallel.attach(state);
  parallel.on_main("start", [&] {
    if (resume) set_aside_newer(out_dir / "checkpoints", resume->step);
    write_text_file(out_dir / "config.yaml", dump_yaml(config, invocation.choices()));
    return std::string();
  });
  log.info(cat("training ", count_parameters(config.model, state.model->plan()).total(),
               " parameters on ", device_name(device), ", ", identity.numerics, ", into ",
               out_dir.string()));
  if (parallel.is_main())
    invocation.stop().set_answer("saving after this step; again to end at once without saving");
  train_observed(config, data, identity, state, resume, out_dir, invocation, parallel, end);
}

/// Tells the other ranks why this one ends, while its error is on the way to main.
void end_of_rank(Parallel& parallel) {
  try {
    throw;
  } catch (const Error& error) {
    const bool agreed = parallel.stop().requested() && error.exit_code() > 128;
    if (agreed) return parallel.leave();
    parallel.fail(error.exit_code(), error.what());
  } catch (const std::exception& error) {
    parallel.fail(1, error.what());
  }
}

void run_as_rank(const Launch& launch, const RunConfig& config, const fs::path& out_dir,
                 const std::string& same, Invocation& invocation, RunEnd& end) {
  Parallel parallel(launch, config.parallel, invocation.stop(), same);
  try {
    train_run(config, out_dir, invocation.text("resume", "auto"), invocation, parallel, end);
    parallel.leave();
  } catch (...) {
    end_of_rank(parallel);
    throw;
  }
}

int run(Invocation& invocation) {
  const Launch launch = read_launch([](const char* name) { return std::getenv(name); });
  const RunConfig given = invocation.load_config().config;
  const RunConfig config = config_of_rank(given, launch);
  const std::string same =
      sha256(cat(FATHOM_VERSION, "\n", invocation.text("resume", "auto"), "\n",
                 invocation.text("stop-after", ""), "\n", dump_yaml(given, invocation.choices())));
  const bool speaks = launch.rank == 0;  // for all ranks
  if (config.checkpoint.on_sigusr1 == "continue") invocation.stop().save_on(SIGUSR1);
  if (!speaks) invocation.stop().set_answer("");
  const fs::path out_dir = resolve_output(config.train.out_dir);
  RunEnd end(invocation, config, out_dir, launch.world_size);
  try {
    run_as_rank(launch, config, out_dir, same, invocation, end);
  } catch (const Interrupted& error) {
    const int code = error.exit_code();
    throw Error(speaks ? end.interrupted(code - 128) : "", code);
  } catch (const Error& error) {
    throw Error(end.failed(error), error.exit_code());
  }
  if (speaks) invocation.log().info(end.completed());
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
      .computes = true,
      .flags = {{"resume", "auto|never|DIR",
                 "auto: the newest valid checkpoint of train.out_dir, if any; never: a new run; "
                 "DIR: that checkpoint"},
                {"stop-after", "STEP", "save after this step and end, to be resumed"}},
      .memory_advice = kStepMemoryAdvice,
      .run = run};
}

}  // namespace fathom
