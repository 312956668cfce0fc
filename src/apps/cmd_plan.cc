// train-llm plan: what a run would be and cost. Nothing is built, nothing is run.

#include <cstdio>

#include "apps/commands.h"
#include "fathom/base/json.h"
#include "fathom/model/cost.h"
#include "fathom/model/placement.h"
#include "fathom/train/device.h"
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
  const MemoryEstimate memory = estimate_memory(config, plan);
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

Json schedule_json(const RunConfig& config) {
  const int64_t total = config.total_steps();
  Json points = Json::array();
  for (const int64_t step : {int64_t{1}, std::max<int64_t>(config.lr_scheduler.warmup_steps, 1),
                             std::max<int64_t>(total / 2, 1), total})
    points.push_back(
        {{"step", step},
         {"lr", learning_rate(config.lr_scheduler, config.optimizer.lr, step, total)}});
  return {{"type", config.lr_scheduler.type}, {"points", points}};
}

Json site_json(const SitePlan& plan) {
  Json site = Json::object();
  if (plan.input_norm != NormKind::none) site["input_norm"] = "rms";
  if (plan.output_norm != NormKind::none) site["output_norm"] = "rms";
  if (plan.sum_norm != NormKind::none) site["sum_norm"] = "rms";
  const auto scale = [&](const char* name, double value) {
    if (value != 1.0) site[name] = value;
  };
  scale("input_scale", plan.input_scale);
  scale("norm_scale", plan.norm_scale);
  scale("output_scale", plan.output_scale);
  scale("skip_scale", plan.skip_scale);
  scale("sum_scale", plan.sum_scale);
  return site;
}

Json layers_json(const ModelPlan& plan) {
  Json layers = Json::array();
  for (size_t i = 0; i < plan.layers.size(); ++i)
    layers.push_back({{"layer", i + 1},
                      {"attention", site_json(plan.layers[i].attention)},
                      {"feed_forward", site_json(plan.layers[i].feed_forward)}});
  return layers;
}

Json plan_json(const LoadedConfig& loaded, const Choices& choices) {
  const RunConfig& config = loaded.config;
  const ModelPlan plan = resolve_plan(config.model);
  Json origins = Json::object();
  for (const auto& [path, value] : effective_values(config, choices))
    origins[path] = {{"value", value}, {"origin", loaded.origins.at(path)}};
  return {{"parameters", parameters_json(config, plan)},
          {"flops_per_token", training_flops_per_token(config.model, config.data.sequence_length)},
          {"memory_bytes", memory_json(config, plan)},
          {"steps", config.total_steps()},
          {"tokens_per_step", config.train.global_batch_size * config.data.sequence_length},
          {"tokens",
           config.total_steps() * config.train.global_batch_size * config.data.sequence_length},
          {"schedule", schedule_json(config)},
          {"placement", config.model.norm.placement},
          {"final_norm", plan.final_norm},
          {"layers", layers_json(plan)},
          {"config", origins}};
}

/// 134105856 -> "134,105,856".
std::string grouped(int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string row(const std::string& name, const std::string& value) {
  return cat("  ", name, std::string(name.size() < 18 ? 18 - name.size() : 1, ' '), value, "\n");
}

std::string mebibytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%10.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

std::string site_text(const Json& site) {
  std::string text;
  for (const auto& [name, value] : site.items())
    text += cat(text.empty() ? "" : ", ", name, " ",
                value.is_string() ? value.get<std::string>() : cat(value.get<double>()));
  return text;
}

std::string plan_text(const Json& plan) {
  std::string text = "parameters\n";
  for (const auto& [name, count] : plan["parameters"].items())
    text += row(name, grouped(count.get<int64_t>()));
  text += cat("compute\n", row("FLOPs per token", cat(plan["flops_per_token"].get<double>())));
  text += "memory of a training step on a CPU, at its peak\n";
  for (const auto& [name, bytes] : plan["memory_bytes"].items())
    text += row(name, mebibytes(bytes.get<int64_t>()));
  text += cat("training\n", row("steps", grouped(plan["steps"].get<int64_t>())),
              row("tokens per step", grouped(plan["tokens_per_step"].get<int64_t>())),
              row("tokens", grouped(plan["tokens"].get<int64_t>())));
  text += cat("learning rate (", plan["schedule"]["type"].get<std::string>(), ")\n");
  for (const Json& point : plan["schedule"]["points"])
    text +=
        row(cat("step ", grouped(point["step"].get<int64_t>())), cat(point["lr"].get<double>()));
  text += cat("layers (", plan["placement"].get<std::string>(), ")\n");
  for (const Json& layer : plan["layers"]) {
    const std::string attention = site_text(layer["attention"]);
    const std::string feed_forward = site_text(layer["feed_forward"]);
    text += row(cat(layer["layer"].get<int64_t>()),
                attention == feed_forward
                    ? attention
                    : cat("attention: ", attention, "; feed-forward: ", feed_forward));
  }
  text += row("final norm", plan["final_norm"].get<bool>() ? "rms" : "none");
  text += "config, and where each value comes from\n";
  for (const auto& [path, entry] : plan["config"].items())
    text += cat("  ", path, "=", entry["value"].get<std::string>(), "  (",
                entry["origin"].get<std::string>(), ")\n");
  return text;
}

int run(Invocation& invocation) {
  const LoadedConfig loaded = invocation.load_config();
  const Json plan = plan_json(loaded, invocation.choices());
  invocation.print(invocation.has("json") ? plan.dump(2) + "\n" : plan_text(plan));
  for (const std::string& warning : known_bad_pairings(loaded.config.model))
    invocation.log().warn(warning);
  return 0;
}

}  // namespace

Command plan_command() {
  return {.name = "plan",
          .summary = "what a run would cost: parameters, FLOPs, memory, tokens, each layer's plan",
          .usage = "CONFIG [overrides] [--json]",
          .example = "train-llm plan 130m model.norm.placement=mix",
          .min_arguments = 1,
          .max_arguments = 1,
          .takes_config = true,
          .flags = {{"json", "", "print JSON"}},
          .run = run};
}

}  // namespace fathom
