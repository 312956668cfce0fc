// train-llm verify-resume: shows on the user's machine that a resumed run is the same run, bit for
// bit.

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "apps/commands.h"
#include "fathom/base/error.h"
#include "fathom/base/hash.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/io/metrics.h"

extern char** environ;

namespace fathom {
namespace {

namespace fs = std::filesystem;

/// Runs this program again in a process of its own, which says on stderr why it ends where it
/// doesn't end well, and gets the signals that this one gets.
/// @returns its exit code
/// @throws Interrupted once it ended after a signal
int run_train(const std::vector<std::string>& arguments, const StopFlag& stop) {
  stop.check();
  std::vector<char*> argv;
  std::vector<std::string> words = {"train-llm", "train"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, argv.data(), environ);
  if (error != 0) throw_disk_error("can't start", "/proc/self/exe", error);
  constexpr useconds_t kNap = 10'000;
  int status = 0;
  bool told = false;
  while (::waitpid(pid, &status, WNOHANG) == 0) {
    if (stop.requested() && !told) told = ::kill(pid, stop.signal()) == 0;
    ::usleep(kNap);
  }
  stop.check();
  if (WIFSIGNALED(status)) throw Interrupted(WTERMSIG(status));
  return WEXITSTATUS(status);
}

/// Losses by step.
std::map<int64_t, std::string> losses(const fs::path& out_dir) {
  std::map<int64_t, std::string> by_step;
  for (const Json& record : read_metrics(out_dir / "metrics.jsonl")) {
    if (record.contains("train/loss")) by_step[record["step"]] = record["train/loss"].dump();
  }
  return by_step;
}

/// "" if both runs are the same, else the first difference.
std::string difference(const fs::path& straight, const fs::path& resumed, int64_t steps) {
  const auto expected = losses(straight), actual = losses(resumed);
  for (int64_t step = 1; step <= steps; ++step) {
    if (!expected.contains(step) || !actual.contains(step))
      return cat("the loss of step ", step, " is missing");
    if (expected.at(step) != actual.at(step))
      return cat("the loss of step ", step, " is ", actual.at(step), " after the resume and ",
                 expected.at(step), " without");
  }
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(steps));
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    const fs::path part = fs::path("checkpoints") / name / file;
    if (sha256_of_file(straight / part) != sha256_of_file(resumed / part))
      return cat(file, " of step ", steps, " differs");
  }
  return "";
}

int run(Invocation& invocation) {
  const RunConfig config = invocation.load_config().config;
  const int64_t before = invocation.integer("before", 5, 1, 1 << 20);
  const int64_t after = invocation.integer("after", 5, 1, 1 << 20);
  const fs::path scratch = fs::path(config.train.out_dir) / "verify-resume";
  if (fs::exists(scratch))
    throw ConfigError(cat(scratch.string(), " exists; remove it, or choose another train.out_dir"));
  std::vector<std::string> common = {invocation.arguments()[0]};
  for (const Override& o : invocation.overrides()) {
    const bool is_length = o.path == "train.max_tokens" || o.path == "train.max_epochs";
    if (!is_length) common.push_back(cat("--", o.path, "=", o.value));
  }
  if (invocation.has("threads")) common.push_back(cat("--threads=", invocation.threads()));
  const auto train = [&](const char* name, int64_t steps) {
    std::vector<std::string> words = common;
    // The schedule must be that of the whole run in all three processes, so the first leg stops by
    // a limit of its own.
    words.insert(words.end(),
                 {cat("--train.max_steps=", before + after), "--log.interval=1",
                  cat("--train.out_dir=", (scratch / name).string()), "--stop-after", cat(steps)});
    return run_train(words, invocation.stop());
  };
  int code = 0;
  try {
    code = train("straight", before + after);
    if (code == 0) code = train("resumed", before);
    if (code == 0) code = train("resumed", before + after);
  } catch (const Interrupted&) {
    fs::remove_all(scratch);
    throw;
  }
  if (code != 0) {
    fs::remove_all(scratch);
    return code;
  }
  const std::string found = difference(scratch / "straight", scratch / "resumed", before + after);
  if (!found.empty())
    throw TrainingError(
        cat("a resumed run differs: ", found, " (both are in ", scratch.string(), ")"));
  fs::remove_all(scratch);
  invocation.print(cat("ok: ", before, " steps, a restart and ", after, " steps equal ",
                       before + after, " steps, bit for bit: losses, weights and optimizer\n"));
  return 0;
}

}  // namespace

Command verify_resume_command() {
  return {.name = "verify-resume",
          .summary = "trains with and without a restart and compares, bit for bit",
          .usage = "CONFIG [overrides] [--before K] [--after M]",
          .example = "train-llm verify-resume smoke data.train=text/ data.tokenizer=t.model",
          .min_arguments = 1,
          .max_arguments = 1,
          .takes_config = true,
          .computes = true,
          .flags = {{"before", "K", "steps before the restart (default: 5)"},
                    {"after", "M", "steps after it (default: 5)"}},
          .memory_advice = kStepMemoryAdvice,
          .run = run};
}

}  // namespace fathom
