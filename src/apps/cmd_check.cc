// train-llm check: builds the configured model and measures that each placement is what it says.

#include <cstdio>

#include "apps/commands.h"
#include "fathom/base/json.h"
#include "fathom/model/check.h"
#include "fathom/train/device.h"
#include "fathom/train/state.h"

namespace fathom {
namespace {

Json to_json(const std::vector<Measurement>& measurements) {
  Json list = Json::array();
  for (const Measurement& m : measurements)
    list.push_back({{"where", m.where},
                    {"what", m.what},
                    {"expected", m.expected},
                    {"measured", m.measured},
                    {"agrees", m.agrees}});
  return list;
}

std::string to_text(const std::vector<Measurement>& measurements) {
  std::string text;
  for (const Measurement& m : measurements) {
    char line[256];
    std::snprintf(line, sizeof line, "%-9s %-42s %-28s expected %-10.6g measured %.6g\n",
                  m.agrees ? "ok" : "DIFFERS", m.where.c_str(), m.what.c_str(), m.expected,
                  m.measured);
    text += line;
  }
  return text;
}

int run(Invocation& invocation) {
  const RunConfig config = invocation.load_config().config;
  apply_runtime_settings(config.train);
  const ModelPlan plan = resolve_plan(config.model);
  const Precision precision = precision_of(config.train);
  Llama model(config.model, plan,
              torch::TensorOptions(precision.parameters).device(choose_device(config.train.device)),
              precision.compute);
  model->start_weights(config.train.seed);
  const std::vector<Measurement> measurements = check_model(
      model, plan, {.start_values = true, .max_layers = config.model.num_hidden_layers});
  invocation.print(invocation.has("json") ? to_json(measurements).dump(2) + "\n"
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
          .usage = "CONFIG [overrides] [--json]",
          .example = "train-llm check 130m model.norm.placement=deepnorm",
          .min_arguments = 1,
          .max_arguments = 1,
          .takes_config = true,
          .flags = {{"json", "", "print JSON"}},
          .run = run};
}

}  // namespace fathom
