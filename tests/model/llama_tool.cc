// Runs a Hugging Face directory through Fathom for tests/oracles/llama_oracle.py.
//
//   llama_tool DIR IN.safetensors OUT.safetensors LR WEIGHT_DECAY OPTIMIZER float32|float64
//
// IN: "input", "target" int64 [steps, B, T]. OUT, in float32: "logits" of the first batch,
// "gradient.<name>" of its mean loss, and "losses" of so many steps, one on each batch.
#include <cstring>
#include <iostream>

#include "fathom/base/ignored_target.h"
#include "fathom/hugging_face/model_files.h"
#include "fathom/io/safetensors.h"
#include "fathom/train/optimizer.h"
#include "fathom/train/step.h"
#include "hugging_face/model_choices.h"

namespace fathom {
namespace {

torch::Tensor read_int64(const SafetensorsFile& file, const char* name) {
  const SafetensorsFile::Tensor& stored = file.at(name);
  torch::Tensor tensor = torch::empty(stored.shape, torch::kInt64);
  std::memcpy(tensor.data_ptr(), stored.bytes.data(), stored.bytes.size());
  return tensor;
}

void write(const std::string& path, const std::map<std::string, torch::Tensor>& tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, TensorType::kF32, tensor.sizes().vec()});
  SafetensorsWriter writer(path, specs);
  for (const auto& [name, tensor] : tensors) {
    const torch::Tensor host = tensor.to(torch::kFloat32).contiguous();
    writer.write(name, {static_cast<const std::byte*>(host.data_ptr()), host.nbytes()});
  }
  writer.publish();
}

void clear_gradients(Llama& model) {
  for (torch::Tensor& parameter : model->parameters()) parameter.mutable_grad().reset();
}

int run(const std::vector<std::string>& arguments) {
  const auto dtype = arguments[6] == "float64" ? torch::kFloat64 : torch::kFloat32;
  Llama model = load_model(arguments[0], torch::kCPU, dtype, model_choices());
  const SafetensorsFile in(arguments[1]);
  const torch::Tensor input = read_int64(in, "input"), target = read_int64(in, "target");
  const auto gradients = [&](int64_t step) {
    clear_gradients(model);
    const torch::Tensor kept = target[step].ne(kIgnoredTarget).sum();
    return accumulate_gradients(model, {input[step], target[step], {}}, kept.item<int64_t>(), 2);
  };
  std::map<std::string, torch::Tensor> out;
  {
    const torch::NoGradGuard no_grad;
    out["logits"] = model->logits(model->hidden(input[0]));
  }
  gradients(0);
  for (const auto& entry : model->named_parameters())
    out["gradient." + entry.key()] = entry.value().grad().clone();
  OptimizerConfig config;
  config.name = arguments[5];
  config.betas = {0.9, 0.95};
  config.weight_decay = std::stod(arguments[4]);
  Optimizer optimizer(config, model->named_parameters());
  std::vector<float> losses;
  for (int64_t step = 0; step < input.size(0); ++step) {
    losses.push_back(gradients(step).item<float>());
    const torch::Tensor lr = torch::full({}, std::stod(arguments[3]), torch::kFloat64);
    optimizer.step(lr, torch::ones({}), torch::zeros({}));
  }
  out["losses"] = torch::tensor(losses);
  write(arguments[2], out);
  return 0;
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  if (argc != 8) {
    std::cerr << "usage: llama_tool DIR IN.safetensors OUT.safetensors LR WEIGHT_DECAY OPTIMIZER "
                 "float32|float64\n";
    return 2;
  }
  try {
    return fathom::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
