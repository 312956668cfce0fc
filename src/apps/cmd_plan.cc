// train-llm plan: what a run would be and cost. Nothing is built, nothing is run, but for
// --measure.

#include <cmath>
#include <cstdio>

#include "apps/commands.h"
#include "apps/measure.h"
#include "fathom/base/json.h"
#include "fathom/base/number.h"
#include "fathom/config/describe.h"
#include "fathom/data/prepare.h"
#include "fathom/data/prepared.h"
#include "fathom/data/report.h"
#include "fathom/hugging_face/plan_json.h"
#include "fathom/model/cost.h"
#include "fathom/model/placement.h"
#include "fathom/run/checkpoint.h"
#include "fathom/run/run_data.h"
#include "fathom/runtime/device.h"
#include "fathom/train/optimizer.h"
#include "fathom/train/schedule.h"

namespace fathom {
namespace {

Json parameters_json(const RunConfig& config, const ModelPlan& plan) {
  const ParameterCount count = count_parameters(config.model, plan);
  return {{"total", count.total()},
          {"embedding", count.embedding},
          {"blocks", count.blocks},
          {"final_norm", count.final_norm},
          {"head", count.head}};
}

/// On the CPU the process itself counts, too: LibTorch's code and tables, as they are resident now.
Json memory_json(const RunConfig& config, const ModelPlan& plan) {
  const ParameterCount count = count_parameters(config.model, plan);
  const MemoryEstimate memory =
      estimate_memory(config, plan, optimizer_row(config.optimizer).state_numbers(count));
  const int64_t process = peak_memory_bytes(torch::kCPU);
  return {{"total", memory.total() + process},
          {"weights", memory.weights},
          {"gradients", memory.gradients},
          {"optimizer", memory.optimizer},
          {"activations", memory.activations},
          {"backward", memory.backward},
          {"loss", memory.loss},
          {"overhead", memory.overhead},
          {"process", process}};
}

Json checkpoints_json(const RunConfig& config, const ModelPlan& plan) {
  const CheckpointBytes bytes = checkpoint_bytes(config, plan);
  const auto most = static_cast<uint64_t>(config.checkpoint.keep_last + 1);
  return {{"model", bytes.model},
          {"optimizer", bytes.optimizer},
          {"other", bytes.other},
          {"checkpoint", bytes.total()},
          {"most_at_once", most * bytes.total()}};
}

Json schedule_json(const RunConfig& config) {
  const int64_t total = config.total_steps();
  Json points = Json::array();
  for (const int64_t step : {int64_t{1}, std::max<int64_t>(config.lr_scheduler.warmup(total), 1),
                             std::max<int64_t>(total / 2, 1), total})
    points.push_back(
        {{"step", step},
         {"lr", learning_rate(config.lr_scheduler, config.optimizer.lr, step, total)}});
  return {{"type", config.lr_scheduler.type}, {"points", points}};
}

Json plan_json(const LoadedConfig& loaded, const Choices& choices) {
  const RunConfig& config = loaded.config;
  const ModelPlan plan = resolve_plan(config.model);
  const Json sites = plan_to_json(plan);
  Json origins = Json::object();
  for (const auto& [path, value] : effective_values(config, choices))
    origins[path] = {{"value", value}, {"origin", loaded.origins.at(path)}};
  return {{"parameters", parameters_json(config, plan)},
          {"flops_per_token", training_flops_per_token(config.model, config.data.sequence_length)},
          {"memory_bytes", memory_json(config, plan)},
          {"disk_bytes", checkpoints_json(config, plan)},
          {"steps", config.total_steps()},
          {"tokens_per_step", config.train.global_batch_size * config.data.sequence_length},
          {"tokens",
           config.total_steps() * config.train.global_batch_size * config.data.sequence_length},
          {"schedule", schedule_json(config)},
          {"placement", config.model.norm.placement},
          {"scaling", config.model.norm.scaling},
          {"sites", sites},
          {"config", origins}};
}

std::string row(const std::string& name, const std::string& value) {
  return cat("  ", name, std::string(name.size() < 18 ? 18 - name.size() : 1, ' '), value, "\n");
}

Json use_json(const RowUse& use) {
  return {{"documents", use.documents},
          {"tokens", use.tokens},
          {"rows", use.rows},
          {"targets", use.targets},
          {"cut_documents", use.cut_documents},
          {"cut_tokens", use.cut_tokens}};
}

/// How the data falls into rows. Text is prepared, into the cache, where train finds it.
Json read_data(RunConfig& config, const Invocation& invocation) {
  const DataConfig& data = config.data;
  const RunData files = load_data(config, invocation.log(), invocation.stop());
  settle_data(config, files, nullptr);
  const Loader loader(open_again(files.train), data, config.train.global_batch_size);
  std::vector<DataReport> reports = {training_report(loader, data, config.total_steps())};
  Json json = {{"train", use_json(loader.rows().use())},
               {"epochs", loader.epochs(config.total_steps())}};
  if (!files.validation.empty()) {
    const Rows rows(open_again(files.validation), data);
    json["validation"] = use_json(rows.use());
    reports.push_back(evaluation_report(rows, data, "data.validation"));
  }
  for (const DataReport& report : reports) {
    json["says"].push_back(report.summary);
    for (const std::string& warning : report.warnings)
      json["says"].push_back("warning: " + warning);
  }
  return json;
}

/// Reads the data where it is given and there isn't much of it, or its rows decide the steps.
Json data_json(RunConfig& config, const Invocation& invocation) {
  const DataConfig& data = config.data;
  if (data.train.empty() || data.tokenizer.empty()) return nullptr;
  if (!config.knows_steps()) return read_data(config, invocation);
  try {
    if (is_quick_to_prepare(data, Tokenizer::load(data.tokenizer)))
      return read_data(config, invocation);
    return {{"says",
             {"the text is not prepared yet: after train-llm prepare, plan says how often the run "
              "goes through it"}}};
  } catch (const DataError& error) {
    return {{"says", {cat("warning: ", error.what())}}};
  }
}

/// rms; 0.5; kind group, groups 8.
std::string value_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return cat(value.get<double>());
  if (!value.is_object()) return value.dump();
  std::string text;
  for (const auto& [name, part] : value.items())
    text += cat(text.empty() ? "(" : ", ", name, " ", value_text(part));
  return text + ")";
}

std::string mebibytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%10.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

/// {"input_norm": "rms", "norm_scale": 0.5} -> "input_norm rms, norm_scale 0.5".
std::string site_text(const Json& site) {
  std::string text;
  for (const auto& [name, value] : site.items())
    text += cat(text.empty() ? "" : ", ", name, " ", value_text(value));
  return text.empty() ? "no norm" : text;
}

std::string layers_text(const Json& sites) {
  std::string text;
  for (const char* name : {"embedding_gain", "embedding_norm"}) {
    if (sites.contains(name)) text += row(name, value_text(sites[name]));
  }
  int64_t layer = 0;
  for (const Json& plan : sites["layers"]) {
    const std::string attention = site_text(plan["attention"]);
    const std::string feed_forward = site_text(plan["feed_forward"]);
    text += row(cat(++layer), attention == feed_forward ? attention
                                                        : cat("attention: ", attention,
                                                              "; feed-forward: ", feed_forward));
  }
  return text + row("final_norm", value_text(sites["final_norm"]));
}

std::string time_text(const Json& plan) {
  if (!plan.contains("measured")) return row("hours", "plan --measure times some steps here");
  const Json& measured = plan["measured"];
  const auto hours = measured["hours"].get<double>();
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", hours);
  return row("tokens per second",
             grouped(static_cast<int64_t>(measured["tokens_per_second"].get<double>()))) +
         row("hours", cat(hours < 100 ? text : grouped(std::llround(hours)),
                          ", of training alone, by some steps of fewer layers on ",
                          measured["device"].get<std::string>(), ", ",
                          measured["numerics"].get<std::string>()));
}

std::string plan_text(const Json& plan) {
  std::string text = "parameters\n";
  for (const auto& [name, count] : plan["parameters"].items())
    text += row(name, grouped(count.get<int64_t>()));
  text += cat("compute\n", row("FLOPs per token", cat(plan["flops_per_token"].get<double>())));
  text += "memory of a training step on a CPU, at its peak\n";
  for (const auto& [name, bytes] : plan["memory_bytes"].items())
    text += row(name, mebibytes(bytes.get<int64_t>()));
  text += "checkpoints on the disk: those kept, and the one being written\n";
  for (const auto& [name, bytes] : plan["disk_bytes"].items())
    text += row(name, mebibytes(bytes.get<int64_t>()));
  text += cat("training\n", row("steps", grouped(plan["steps"].get<int64_t>())),
              row("tokens per step", grouped(plan["tokens_per_step"].get<int64_t>())),
              row("tokens", grouped(plan["tokens"].get<int64_t>())), time_text(plan));
  if (!plan["data"].is_null()) {
    text += "data\n";
    for (const Json& line : plan["data"]["says"]) text += cat("  ", line.get<std::string>(), "\n");
  }
  text += cat("learning rate (", plan["schedule"]["type"].get<std::string>(), ")\n");
  for (const Json& point : plan["schedule"]["points"])
    text +=
        row(cat("step ", grouped(point["step"].get<int64_t>())), cat(point["lr"].get<double>()));
  text += cat("layers (", plan["placement"].get<std::string>(), ")\n", layers_text(plan["sites"]));
  text += "config, and where each value comes from\n";
  for (const auto& [path, entry] : plan["config"].items())
    text += cat("  ", path, "=", entry["value"].get<std::string>(), "  (",
                entry["origin"].get<std::string>(), ")\n");
  return text;
}

Json measured_json(const RunConfig& config, const StopFlag& stop) {
  const torch::Device device = choose_device(config.train.device);
  apply_runtime_settings(config.train);
  const double seconds = measure_step(config, device, stop);
  const int64_t tokens = config.train.global_batch_size * config.data.sequence_length;
  return {{"device", device_name(device)},
          {"numerics", numerics_fingerprint(device)},
          {"seconds_per_step", seconds},
          {"tokens_per_second", static_cast<double>(tokens) / seconds},
          {"hours", seconds * static_cast<double>(config.total_steps()) / 3600}};
}

int run(Invocation& invocation) {
  LoadedConfig loaded = invocation.load_config();
  Json data;
  if (!loaded.config.knows_steps()) data = data_json(loaded.config, invocation);
  Json plan = plan_json(loaded, invocation.choices());
  plan["data"] = data.is_null() ? data_json(loaded.config, invocation) : data;
  if (invocation.has("measure")) plan["measured"] = measured_json(loaded.config, invocation.stop());
  invocation.print(invocation.has("json") ? json_text(plan) : plan_text(plan));
  for (const std::string& warning : known_bad_pairings(loaded.config.model))
    invocation.log().warn(warning);
  return 0;
}

}  // namespace

Command plan_command() {
  return {.name = "plan",
          .summary = "what a run would cost: parameters, FLOPs, memory, tokens, each layer's plan",
          .usage = "CONFIG [overrides] [--measure] [--json]",
          .example = "train-llm plan 130m model.norm.placement=mix",
          .min_arguments = 1,
          .max_arguments = 1,
          .takes_config = true,
          .computes = true,
          .flags = {{"measure", "", "time some steps here, for tokens per second and hours"},
                    {"json", "", "print JSON"}},
          .run = run};
}

}  // namespace fathom
