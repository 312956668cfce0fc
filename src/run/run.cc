#include "fathom/run/run.h"

#include <optional>
#include <utility>

#include "fathom/base/cores.h"
#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/internal/output_path.h"
#include "fathom/config/describe.h"
#include "fathom/config/load.h"
#include "fathom/hugging_face/model_files.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/io/disk_room.h"
#include "fathom/io/run_lock.h"
#include "fathom/model/check.h"
#include "fathom/model/cost.h"
#include "fathom/run/observers.h"
#include "fathom/run/run_start.h"
#include "fathom/runtime/attention_choice.h"
#include "fathom/runtime/device.h"
#include "fathom/train/trainer.h"

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

/// A model that isn't what its plan says must not be trained.
void require_plan(Llama& model, const RunConfig& config) {
  const std::string found =
      first_disagreement(check_model(model, resolve_plan(config.model), {.start_values = false}));
  if (!found.empty()) throw TrainingError(cat("the built model isn't what its plan says: ", found));
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

struct DivergenceRecord : RunRecord {
  explicit DivergenceRecord(const Divergence& found_in) : found(found_in) {}
  Divergence found;

  std::string_view event() const override { return "divergence"; }
  MetricValues values() const override {
    return {{"divergence/step", found.step()}, {"divergence/place", found.place()}};
  }
};

}  // namespace

struct Run::Parts {
  Parts(RunConfig config_in, Parallel& parallel_in, RunOptions options_in)
      : config(std::move(config_in)),
        options(std::move(options_in)),
        parallel(parallel_in),
        log(/*quiet=*/!parallel.is_main()),
        out_dir(resolve_output(config.train.out_dir)) {}

  /// Takes the output directory and finds the checkpoint to go on from: on rank 0, for all.
  void open_output();
  /// Prepares the data, and what depends on it.
  void prepare();
  /// A new run's state, or a checkpoint's.
  void make_state();
  void announce() const;
  /// What the checkpoint that the run goes on from knows of records.
  std::optional<ResumePoint> resume_point() const;
  void add_sinks(Progress& progress);
  void train();

  RunConfig config;
  RunOptions options;
  Parallel& parallel;
  Log log;
  fs::path out_dir;
  std::optional<RunLock> lock{};
  std::optional<fs::path> checkpoint{};  // that the run goes on from
  torch::Device device = torch::kCPU;
  std::optional<RunData> data{};
  RunIdentity identity{};
  std::optional<TrainState> state{};  // nothing where the run is over
  ObserverStates saved{};             // of the checkpoint
  std::vector<Observer*> own{};
  Recorder recorder{};
};

void Run::Parts::open_output() {
  const std::string found = parallel.on_main("start", [&]() -> std::string {
    const fs::path root = out_dir / "checkpoints";
    const StopFlag& stop = parallel.local_stop();
    lock.emplace(out_dir);
    require_writable(out_dir);
    for (const std::string& warning : known_bad_pairings(config.model)) log.warn(warning);
    tidy(root, log, stop);
    const int64_t total = config.knows_steps() ? config.total_steps() : INT64_MAX;
    const auto newest = checkpoint_to_resume(options.resume, root, total, log, stop);
    if (!newest || newest->step < total) warn_of_small_disk(config, root, log);
    return newest ? fs::absolute(newest->directory).string() : "";
  });
  if (!found.empty()) checkpoint = found;
}

void Run::Parts::prepare() {
  device = choose_device(config.train.device, parallel.local_rank());
  for (const std::string& line : check_device(config, device, parallel.size())) log.warn(line);
  apply_runtime_settings(config.train);
  if (const std::string chosen = choose_attention(config, rows_at_once(config, parallel), device);
      !chosen.empty())
    log.info(chosen);
  data = load_data(config, log, parallel.local_stop(), parallel);
  settle_data(config, *data, parallel.is_main() ? &log : nullptr);
  if (data->validation.empty()) log.info("data.validation is not set: nothing will be evaluated");
  identity = identity_of(config, options.choices, *data, device, parallel.size());
}

void Run::Parts::make_state() {
  parallel.enter("building the model");
  const Shard shard = parallel.optimizer_shard();
  if (checkpoint) {
    state.emplace(
        make_train_state(config, resolve_plan(config.model), device, /*start=*/false, shard));
    saved = load_checkpoint(*checkpoint, *state, identity, config.train.deterministic, log);
    log.info(cat("resumed ", checkpoint->string(), " at step ", state->step));
  } else {
    state.emplace(start_state(config, device, options.choices, log, shard));
  }
  require_plan(state->model, config);
  parallel.attach(*state);
  parallel.on_main("start", [&] {
    if (checkpoint) set_aside_newer(out_dir / "checkpoints", state->step);
    if (state->step < config.total_steps())  // else config.yaml says what was trained
      write_text_file(out_dir / "config.yaml", dump_yaml(config, options.choices));
    return std::string();
  });
}

void Run::Parts::announce() const {
  log.info(cat("training ", count_parameters(config.model, state->model->plan()).total(),
               " parameters on ", device_name(device), ", ", identity.numerics, ", into ",
               out_dir.string()));
  if (parallel.is_main())
    parallel.local_stop().set_answer("saving after this step; again to end at once without saving");
}

std::optional<ResumePoint> Run::Parts::resume_point() const {
  if (!checkpoint) return std::nullopt;
  ResumePoint point{.step = state->step};
  for (const auto& [name, of_observer] : saved) {
    if (of_observer.contains("step")) point.last[name] = of_observer.at("step").get<int64_t>();
  }
  return point;
}

void Run::Parts::add_sinks(Progress& progress) {
  const std::optional<ResumePoint> resume = resume_point();
  recorder.add(metrics_sink(out_dir / "metrics.jsonl", resume, log));
  if (config.log.tensorboard) recorder.add(tensorboard_sink(out_dir / "tb", resume, log));
  recorder.add(terminal_sink(progress, config.total_steps()));
}

void Run::Parts::train() {
  announce();
  std::optional<Progress> progress;
  if (parallel.is_main()) {
    progress.emplace("train", static_cast<double>(config.total_steps()),
                     static_cast<double>(state->step), "step");
    add_sinks(*progress);
  }
  const fs::path checkpoints = out_dir / "checkpoints";
  const CheckpointContent content = checkpoint_content(config, *data, identity, options.choices);
  std::vector<Observer*> all = own;
  const RunContext context{.config = config,
                           .data = *data,
                           .checkpoints = checkpoints,
                           .content = content,
                           .all = all,
                           .recorder = recorder,
                           .progress = progress ? &*progress : nullptr,
                           .parallel = parallel};
  Observers made;
  for (const ObserverInfo& row : observers()) {
    for (std::unique_ptr<Observer>& observer : row.make(context)) {
      all.push_back(observer.get());
      made.push_back(std::move(observer));
    }
  }
  for (Observer* observer : all) {
    if (const auto found = saved.find(observer->name()); found != saved.end())
      observer->restore(found->second);
  }
  const Loader loader(open_again(data->train), config.data, config.train.global_batch_size);
  PrefetchingLoader ahead(loader, state->step, /*depth=*/4);
  int64_t next_step = state->step;
  const auto batches = [&](int64_t step) {
    if (step != next_step) return loader.batch(step);  // a step that is looked at again
    ++next_step;
    return ahead.next();
  };
  try {
    fathom::train(config, *state, batches, all, parallel.stop(), options.stop_after,
                  parallel.if_several());
  } catch (const Divergence& divergence) {
    recorder.record(DivergenceRecord(divergence), {divergence.step() - 1, state->tokens});
    throw;
  }
}

Run::Run(RunConfig config, Parallel& parallel, RunOptions options)
    : parts_(std::make_unique<Parts>(std::move(config), parallel, std::move(options))) {
  Parts& run = *parts_;
  run.open_output();
  // A complete run whose disk had room for the model alone.
  if (run.checkpoint && run.options.resume == "auto" && !why_not_resumable(*run.checkpoint).empty())
    return;
  run.prepare();
  run.make_state();
}

Run::~Run() = default;

bool Run::is_over() const { return !parts_->state; }
const RunConfig& Run::config() const { return parts_->config; }
const RunData& Run::data() const { return parts_->data.value(); }
TrainState& Run::state() { return parts_->state.value(); }
void Run::add(Observer& observer) { parts_->own.push_back(&observer); }

void Run::train() {
  if (!is_over()) parts_->train();
}

RunConfig config_of_rank(RunConfig config, const Launch& launch) {
  require_even_split(config.train.global_batch_size, launch.world_size);
  if (launch.world_size > 1 && !config.train.threads)
    config.train.threads = num_threads(launch.local_world_size);
  return config;
}

}  // namespace fathom
