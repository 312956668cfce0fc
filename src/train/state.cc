#include "fathom/train/state.h"

#include "fathom/runtime/precision.h"

namespace fathom {

TrainState make_train_state(const RunConfig& config, ModelPlan plan, torch::Device device,
                            bool start, Shard optimizer_shard) {
  const Precision precision = precision_of(config.train);
  Llama model(config.model, std::move(plan),
              torch::TensorOptions(precision.parameters).device(device), precision.compute);
  if (start) model->start_weights(config.train.seed);
  model->set_activation_checkpointing(config.train.activation_checkpointing);
  Optimizer optimizer(config.optimizer, model->named_parameters(), optimizer_shard,
                      config.train.seed);
  return {.model = model,
          .optimizer = std::move(optimizer),
          .newly_started = start,
          .first_bad_step = torch::zeros({}, torch::TensorOptions(torch::kInt64).device(device))};
}

}  // namespace fathom
