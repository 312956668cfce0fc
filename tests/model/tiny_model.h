// A model that is small enough for exact tests.
#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include "fathom/model/llama.h"

namespace fathom {

inline ModelConfig tiny_config(const std::string& placement = "pre") {
  ModelConfig config;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = 4;
  config.num_attention_heads = 2;
  config.vocab_size = 50;
  config.initializer_range = 0.1;
  config.norm.placement = placement;
  return config;
}

inline Llama tiny_model(const ModelConfig& config, torch::ScalarType dtype = torch::kFloat64) {
  Llama model(config, resolve_plan(config), torch::TensorOptions(dtype), dtype);
  model->start_weights(1);
  return model;
}

inline torch::Tensor tiny_tokens(int64_t rows, int64_t length, int64_t seed = 5) {
  const torch::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
  return torch::randint(50, {rows, length}, generator, torch::kInt64);
}

}  // namespace fathom
