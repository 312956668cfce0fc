// train-llm check: builds the configured model and measures that each placement is what it says.

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <regex>

#include "apps/commands.h"
#include "fathom/base/json.h"
#include "fathom/hugging_face/model_files.h"
#include "fathom/hugging_face/plan_json.h"
#include "fathom/model/check.h"
#include "fathom/model/profile.h"
#include "fathom/runtime/device.h"
#include "fathom/runtime/precision.h"
#include "fathom/train/state.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

Json to_json(const std::vector<CheckedValue>& measurements) {
  Json list = Json::array();
  for (const CheckedValue& m : measurements)
    list.push_back({{"where", m.where},
                    {"what", m.what},
                    {"expected", m.expected},
                    {"measured", m.measured},
                    {"agrees", m.agrees}});
  return list;
}

std::string to_text(const std::vector<CheckedValue>& measurements) {
  std::string text;
  for (const CheckedValue& m : measurements) {
    char line[512];
    std::snprintf(line, sizeof line, "%-9s %-42s %-28s expected %-14s measured %s\n",
                  m.agrees ? "ok" : "DIFFERS", m.where.c_str(), m.what.c_str(), m.expected.c_str(),
                  m.measured.c_str());
    text += line;
  }
  return text;
}

/// The plan with one field of it changed: "3.attention.skip_scale=1.1",
/// "2.feed_forward.sum_norm=rms".
ModelPlan perturbed(const ModelPlan& plan, const std::string& change) {
  static const std::regex kChange(R"((\d{1,6})\.(attention|feed_forward)\.(\w+)=(.+))");
  std::smatch match;
  const auto layers = static_cast<int64_t>(plan.layers.size());
  if (!std::regex_match(change, match, kChange) || std::stoll(match[1]) < 1 ||
      std::stoll(match[1]) > layers)
    throw ConfigError(cat("--perturb is '", change,
                          "'; allowed: LAYER.SITE.FIELD=VALUE with a layer "
                          "from 1 to ",
                          layers, ", such as 3.attention.skip_scale=1.1"));
  Json json = plan_to_json(plan);
  Json value = Json::parse(match[4].str(), nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) value = match[4].str();  // a name without quotes
  json["layers"][std::stoul(match[1]) - 1][match[2]][match[3]] = value;
  try {
    return plan_from_json(json);
  } catch (const std::invalid_argument& error) {
    throw ConfigError(cat("--perturb is '", change, "': ", error.what()));
  }
}

/// Profiled gains need a batch; without data, tokens in a fixed order stand in for it.
void profile_on_any_tokens(Llama& model) {
  constexpr int64_t kRows = 4, kLength = 64;
  const torch::Tensor tokens = torch::arange(kRows * kLength, torch::kInt64)
                                   .mul(7919)
                                   .remainder(model->config().vocab_size)
                                   .view({kRows, kLength});
  profile_skips(model, tokens.to(model->device()), {});
}

/// Measures again after what makes other implementations lose their factors: a change of dtype,
/// storage made anew, a move to another device and back.
void measure_moved(Llama& model, const ModelPlan& plan, std::vector<CheckedValue>& all) {
  const auto again = [&](const std::string& what) {
    const std::string found =
        first_disagreement(check_model(model, plan, {.start_values = false, .max_layers = 4}));
    all.push_back({"after " + what, "all of the above", "as before",
                   found.empty() ? "as before" : found, found.empty()});
  };
  const torch::ScalarType dtype = model->parameters().front().scalar_type();
  const torch::Device device = model->device();
  const bool narrow = dtype == torch::kBFloat16;
  model->to(narrow ? torch::kFloat32 : torch::kBFloat16);
  again(narrow ? "a change to float32" : "a change to bfloat16");
  model->to(dtype);
  again("the change back");
  if (device.is_cuda()) {
    model->to(torch::Device(torch::kCPU));
    again("a move to the CPU");
    model->to(device);
    again("the move back");
  }
}

/// A folder that vanishes.
class ScratchFolder {
 public:
  ScratchFolder() : path_(fs::temp_directory_path() / cat("fathom-check-", ::getpid())) {}
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

double logits_distance(Llama& one, Llama& other) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor tokens = torch::arange(16, torch::kInt64)
                                   .remainder(one->config().vocab_size)
                                   .to(one->device())
                                   .unsqueeze(0);
  const auto logits = [&](Llama& model) {
    return model->logits(model->hidden(tokens)).to(torch::kCPU, torch::kFloat64);
  };
  const torch::Tensor expected = logits(one);
  return ((logits(other) - expected).norm() / expected.norm()).item<double>();
}

/// Saves the model and measures what is loaded: built by its own plan, as a resume does, and as any
/// Llama runtime does, with the factors in the gains.
void measure_saved(Llama& model, const ModelPlan& plan, const Choices& choices, const Log& log,
                   std::vector<CheckedValue>& all) {
  uint64_t bytes = 0;
  for (const torch::Tensor& parameter : model->parameters()) bytes += parameter.nbytes();
  const ScratchFolder scratch;
  std::error_code failed;
  const uint64_t room = fs::space(fs::temp_directory_path(), failed).available;
  if (failed || room < 2 * bytes) {
    log.warn(cat("not measured: the model after save and load, for which ",
                 fs::temp_directory_path().string(), " lacks ", (2 * bytes) >> 20, " MiB"));
    return;
  }
  save_model(scratch.path(), model, choices);
  const auto options = model->parameters().front().options().requires_grad(false);
  Llama same(model->config(), model->plan(), options, model->compute_dtype());
  load_weights(scratch.path(), same, choices);
  const std::string found =
      first_disagreement(check_model(same, plan, {.start_values = false, .max_layers = 4}));
  all.push_back({"after save and load", "all of the above", "as before",
                 found.empty() ? "as before" : found, found.empty()});
  Llama loaded = load_model(scratch.path(), model->device(), model->compute_dtype(), choices);
  const double far = logits_distance(model, loaded);
  const double allowed = model->compute_dtype() == torch::kBFloat16 ? 2e-2 : 1e-5;
  all.push_back({"as a model directory", "distance of the logits", cat("at most ", allowed),
                 cat(far), far <= allowed});
}

int run(Invocation& invocation) {
  const RunConfig config = invocation.load_config().config;
  apply_runtime_settings(config.train);
  const ModelPlan plan = resolve_plan(config.model);
  const std::string change = invocation.text("perturb", "");
  const Precision precision = precision_of(config.train);
  Llama model(config.model, change.empty() ? plan : perturbed(plan, change),
              torch::TensorOptions(precision.parameters).device(choose_device(config.train.device)),
              precision.compute);
  model->start_weights(config.train.seed);
  profile_on_any_tokens(model);
  std::vector<CheckedValue> measurements = check_model(
      model, plan, {.start_values = true, .max_layers = config.model.num_hidden_layers});
  measure_moved(model, plan, measurements);
  measure_saved(model, plan, invocation.choices(), invocation.log(), measurements);
  invocation.print(invocation.has("json") ? json_text(to_json(measurements))
                                          : to_text(measurements));
  for (const std::string& warning : known_bad_pairings(config.model))
    invocation.log().warn(warning);
  if (const std::string found = first_disagreement(measurements); !found.empty())
    throw TrainingError(cat("the built model isn't what its plan says: ", found));
  return 0;
}

}  // namespace

Command check_command() {
  return {.name = "check",
          .summary = "builds the model and measures that each placement is what it says",
          .usage = "CONFIG [overrides] [--json] [--perturb LAYER.SITE.FIELD=VALUE]",
          .example = "train-llm check 130m model.norm.placement=deepnorm",
          .min_arguments = 1,
          .max_arguments = 1,
          .takes_config = true,
          .computes = true,
          .flags = {{"json", "", "print JSON"},
                    {"perturb", "LAYER.SITE.FIELD=VALUE",
                     "build the model with this field changed, to see the check fail"}},
          .memory_advice = kStepMemoryAdvice,
          .run = run};
}

}  // namespace fathom
