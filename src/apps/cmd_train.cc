// train-llm train: a Run, with a last line that says how it ended.

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "apps/commands.h"
#include "apps/run_end.h"
#include "fathom/base/hash.h"
#include "fathom/base/internal/output_path.h"
#include "fathom/config/describe.h"
#include "fathom/run/run.h"
#include "fathom/version.h"

namespace fathom {
namespace {

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

void run_as_rank(const Launch& launch, const RunConfig& config, const std::string& same,
                 Invocation& invocation, RunEnd& end) {
  Parallel parallel(launch, config.parallel, invocation.stop(), same);
  try {
    Run run(config, parallel,
            {.resume = invocation.text("resume", "auto"),
             .stop_after = invocation.integer("stop-after", INT64_MAX, 1, INT64_MAX),
             .choices = invocation.choices()});
    end.set_config(run.config());
    if (run.is_over()) end.set_complete(run.config().total_steps());
    run.add(end);
    run.train();
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
  RunEnd end(invocation, config, resolve_output(config.train.out_dir), launch.world_size);
  try {
    run_as_rank(launch, config, same, invocation, end);
  } catch (const Interrupted& stopped) {
    throw Error(speaks ? end.interrupted(stopped) : "", stopped.exit_code());
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
