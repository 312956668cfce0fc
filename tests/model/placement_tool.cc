// Builds a model in float64 for tests/oracles/placement_oracle.py and writes what it computes.
//
//   placement_tool OUT.safetensors model.KEY=VALUE...
//
// OUT, all float64: "input", "target" [B, T]; "start.<name>", the parameters as they start, and
// "weight.<name>", moved at random, so that gains and gates show; "logits" and "gradient.<name>" of
// the mean loss.
#include <iostream>

#include "fathom/config/load.h"
#include "fathom/io/safetensors.h"
#include "fathom/model/llama.h"
#include "fathom/model/profile.h"
#include "fathom/run/choices.h"

namespace fathom {
namespace {

using Tensors = std::map<std::string, torch::Tensor>;

void write(const std::string& path, const Tensors& tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, TensorType::kF64, tensor.sizes().vec()});
  SafetensorsWriter writer(path, specs);
  for (const auto& [name, tensor] : tensors) {
    const torch::Tensor host = tensor.to(torch::kFloat64).contiguous();
    writer.write(name, {static_cast<const std::byte*>(host.data_ptr()), host.nbytes()});
  }
  writer.publish();
}

void copy_parameters(const Llama& model, const std::string& prefix, Tensors& into) {
  for (const auto& entry : model->named_parameters())
    into[prefix + entry.key()] = entry.value().detach().clone();
}

int run(const std::string& out, const std::vector<Override>& overrides) {
  const ModelConfig config = load_run_config("smoke", overrides, config_choices()).config.model;
  Llama model(config, resolve_plan(config), torch::kFloat64, torch::kFloat64);
  model->start_weights(1);
  torch::manual_seed(1);
  Tensors tensors;
  tensors["input"] = torch::randint(config.vocab_size, {2, 11}, torch::kInt64);
  tensors["target"] = torch::randint(config.vocab_size, {2, 11}, torch::kInt64);
  profile_skips(model, tensors["input"], {});
  copy_parameters(model, "start.", tensors);
  {
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : model->parameters())
      parameter.add_(torch::randn_like(parameter) * (parameter.dim() == 1 ? 0.3 : 0.1));
  }
  copy_parameters(model, "weight.", tensors);
  const torch::Tensor loss = model->loss(tensors["input"], tensors["target"],
                                         1.0 / static_cast<double>(tensors["target"].numel()));
  loss.backward();
  for (const auto& entry : model->named_parameters())
    tensors["gradient." + entry.key()] = entry.value().grad();
  tensors["logits"] = model->logits(model->hidden(tensors["input"])).detach();
  write(out, tensors);
  return 0;
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  std::vector<fathom::Override> overrides;
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t equals = word.find('=');
    overrides.push_back({word.substr(0, equals), word.substr(equals + 1)});
  }
  try {
    return fathom::run(argv[1], overrides);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
