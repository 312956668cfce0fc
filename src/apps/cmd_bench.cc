// train-llm bench: how fast a config trains here, and where the time goes.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "apps/commands.h"
#include "fathom/base/file.h"
#include "fathom/base/json.h"
#include "fathom/model/cost.h"
#include "fathom/run/run_start.h"
#include "fathom/runtime/attention_choice.h"
#include "fathom/runtime/device.h"
#include "fathom/runtime/part_timer.h"
#include "fathom/runtime/precision.h"
#include "fathom/train/recorded_step.h"
#include "fathom/train/schedule.h"

namespace fathom {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr uint64_t kMostBytes = uint64_t{4} << 30;  // of --batches

/// Rows of T + 1 tokens, read as inputs and targets, over and over.
class Tokens {
 public:
  Tokens(const RunConfig& config, const std::string& path) : config_(config) {
    const int64_t row = config.data.sequence_length + 1;
    if (path.empty()) {
      const torch::Tensor random = torch::randint(
          config.model.vocab_size, {config.train.global_batch_size * row}, torch::kInt32);
      tokens_.assign(random.data_ptr<int32_t>(), random.data_ptr<int32_t>() + random.numel());
      return;
    }
    const std::string bytes = read_text_file(path, kMostBytes);
    tokens_.resize(bytes.size() / sizeof(int32_t));
    std::copy_n(bytes.data(), tokens_.size() * sizeof(int32_t),
                reinterpret_cast<char*>(tokens_.data()));
    const int64_t batch = config.train.global_batch_size * row;
    if (tokens_.empty() || static_cast<int64_t>(tokens_.size()) % batch != 0)
      throw DataError(cat(path, " holds ", tokens_.size(),
                          " numbers of 32 bits; batches here are of ", batch,
                          " (global_batch_size rows of sequence_length + 1)"));
    const auto [least, most] = std::minmax_element(tokens_.begin(), tokens_.end());
    if (*least < 0 || *most >= config.model.vocab_size)
      throw DataError(cat(path, " holds token ", *least < 0 ? *least : *most,
                          "; allowed: 0 to model.vocab_size - 1, ", config.model.vocab_size - 1));
  }

  Batch batch(int64_t step) const {
    const int64_t length = config_.data.sequence_length;
    Batch batch;
    batch.rows = config_.train.global_batch_size;
    batch.length = length;
    batch.tokens = batch.targets = batch.rows * length;
    const int64_t size = batch.rows * (length + 1);
    const int64_t batches = static_cast<int64_t>(tokens_.size()) / size;
    const int32_t* row = tokens_.data() + step % batches * size;
    for (int64_t i = 0; i < batch.rows; ++i, row += length + 1) {
      batch.input.insert(batch.input.end(), row, row + length);
      batch.target.insert(batch.target.end(), row + 1, row + length + 1);
    }
    return batch;
  }

 private:
  const RunConfig& config_;
  std::vector<int32_t> tokens_;
};

/// What a block of steps measured.
struct Block {
  std::vector<double> seconds, losses, gradient_norms;
};

/// Steps of one model, timed.
class Bench {
 public:
  Bench(const RunConfig& config, const torch::Device& device, const std::string& tokens,
        const Choices& choices, const Log& log)
      : config_(config),
        device_(device),
        tokens_(config, tokens),
        state_(start_state(config, device, choices, log)),
        step_(make_step_function(config, device)) {}

  Block run(int64_t steps, const StopFlag& stop) {
    Block block;
    for (int64_t i = 0; i < steps; ++i) {
      stop.check();
      const auto start = std::chrono::steady_clock::now();
      const double lr = learning_rate(config_.lr_scheduler, config_.optimizer.lr, state_.step + 1,
                                      config_.total_steps());
      const StepResult result = step_(state_, tokens_.batch(state_.step), lr);
      block.losses.push_back(result.loss.item<double>());  // waits for the device
      block.gradient_norms.push_back(result.gradient_norm.item<double>());
      block.seconds.push_back(Seconds(std::chrono::steady_clock::now() - start).count());
    }
    return block;
  }

  /// Seconds of a step by part.
  std::vector<PartTime> parts(int64_t steps, const StopFlag& stop) {
    const PartTimer timer;
    run(steps, stop);
    std::vector<PartTime> parts = timer.parts();
    for (PartTime& part : parts) part.seconds /= static_cast<double>(steps);
    return parts;
  }

  const torch::Device& device() const { return device_; }

 private:
  const RunConfig& config_;
  torch::Device device_;
  Tokens tokens_;
  TrainState state_;
  StepFunction step_;
};

/// The value below which a share of the sorted values lies.
double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
}

Json to_json(const RunConfig& config, const Block& block, const torch::Device& device) {
  const auto tokens =
      static_cast<double>(config.train.global_batch_size * config.data.sequence_length);
  const double median = quantile(block.seconds, 0.5);
  const double flops = training_flops_per_token(config.model, config.data.sequence_length);
  const double peak = peak_flops(device, precision_of(config.train).compute);
  return {{"steps", block.seconds.size()},
          {"tokens_per_step", tokens},
          {"seconds_per_step", median},
          {"seconds_quartiles", {quantile(block.seconds, 0.25), quantile(block.seconds, 0.75)}},
          {"tokens_per_second", tokens / median},
          {"flops_per_second", flops * tokens / median},
          {"mfu", peak > 0 ? Json(flops * tokens / median / peak) : Json(nullptr)},
          {"peak_memory_bytes", peak_memory_bytes(device)},
          {"losses", block.losses},
          {"gradient_norms", block.gradient_norms}};
}

template <typename... Values>
std::string formatted(const char* format, Values... values) {
  std::array<char, 160> line{};
  std::snprintf(line.data(), line.size(), format, values...);
  return line.data();
}

std::string table(const Json& json) {
  const auto number = [&](const char* key) { return json.at(key).get<double>(); };
  std::string text = cat("device              ", json.at("device").get<std::string>(), "\n",
                         "numerics            ", json.at("numerics").get<std::string>(), "\n");
  text += formatted("tokens per second   %.0f\n", number("tokens_per_second"));
  text += formatted("seconds per step    %.4f, quartiles %.4f %.4f, %d steps of %.0f tokens\n",
                    number("seconds_per_step"), json.at("seconds_quartiles")[0].get<double>(),
                    json.at("seconds_quartiles")[1].get<double>(), json.at("steps").get<int>(),
                    number("tokens_per_step"));
  text += formatted("FLOP/s              %.4g\n", number("flops_per_second"));
  text += json.at("mfu").is_null()
              ? "MFU                 n/a: the device's peak isn't known\n"
              : formatted("MFU                 %.1f %%\n", 100 * number("mfu"));
  text += formatted("peak memory         %.2f GiB\n", number("peak_memory_bytes") / (1 << 30));
  if (json.at("parts").empty())
    return text + "time by part        n/a: the host's clock doesn't see a GPU's kernels\n";
  text += "time by part, of a step\n";
  double total = 0;
  for (const Json& part : json.at("parts")) total += part.at("seconds").get<double>();
  for (const Json& part : json.at("parts"))
    text +=
        formatted("  %-16s  %9.4f s  %5.1f %%\n", part.at("part").get<std::string>().c_str(),
                  part.at("seconds").get<double>(), 100 * part.at("seconds").get<double>() / total);
  return text;
}

/// One block for each line of stdin, so that other programs run between them.
void run_paced(Bench& bench, const RunConfig& config, int64_t steps, const Invocation& invocation) {
  for (std::string line; std::getline(std::cin, line);)
    invocation.print(to_json(config, bench.run(steps, invocation.stop()), bench.device()).dump() +
                     "\n");
}

int run(Invocation& invocation) {
  RunConfig config = invocation.load_config().config;
  const int64_t steps = invocation.integer("steps", 10, 1, 1'000'000);
  if (!config.knows_steps()) config.train.steps_of_epochs = steps;  // no data is read here
  const torch::Device device = choose_device(config.train.device);
  for (const std::string& line : check_device(config, device)) invocation.log().warn(line);
  apply_runtime_settings(config.train);
  if (const std::string chosen =
          choose_attention(config, config.train.rows_per_micro_batch(), device);
      !chosen.empty())
    invocation.log().info(chosen);
  Bench bench(config, device, invocation.text("batches", ""), invocation.choices(),
              invocation.log());
  if (invocation.has("paced")) {
    run_paced(bench, config, steps, invocation);
    return 0;
  }
  bench.run(invocation.integer("warmup", 3, 0, 1'000'000), invocation.stop());
  Json json = {{"device", device_name(device)}, {"numerics", numerics_fingerprint(device)}};
  json.update(to_json(config, bench.run(steps, invocation.stop()), device));
  json["parts"] = Json::array();
  if (device.is_cpu()) {
    for (const PartTime& part : bench.parts(std::min<int64_t>(steps, 3), invocation.stop()))
      json["parts"].push_back({{"part", part.part}, {"seconds", part.seconds}});
  }
  invocation.print(invocation.has("json") ? json_text(json) : table(json));
  return 0;
}

}  // namespace

Command bench_command() {
  return {
      .name = "bench",
      .summary = "how fast a config trains here: tokens/s, MFU, memory, time by part",
      .usage = "CONFIG [overrides] [--steps N] [--warmup N] [--batches FILE] [--json | --paced]",
      .example =
          "train-llm bench 130m train.global_batch_size=4 data.sequence_length=256 --steps 10",
      .min_arguments = 1,
      .max_arguments = 1,
      .takes_config = true,
      .computes = true,
      .flags =
          {{"steps", "N", "steps that are timed (default: 10)"},
           {"warmup", "N", "steps before them (default: 3)"},
           {"batches", "FILE",
            "rows of sequence_length + 1 tokens, each int32, little-endian; default: one batch "
            "of random tokens"},
           {"json", "", "print JSON"},
           {"paced", "",
            "run --steps steps for each line of stdin and print a line of JSON: for "
            "comparing programs in turn (scripts/bench_peers.py)"}},
      .memory_advice = kStepMemoryAdvice,
      .run = run};
}

}  // namespace fathom
