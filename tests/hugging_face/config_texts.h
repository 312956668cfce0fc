// config.json as text, and what Fathom makes of it.
#pragma once

#include <string>

#include "fathom/base/error.h"
#include "fathom/base/json.h"
#include "fathom/hugging_face/hugging_face.h"
#include "hugging_face/model_choices.h"
#include "io/temporary_directory.h"

namespace fathom {

inline const Choices kChoices = model_choices();

inline ModelDescription described(const ModelConfig& model, ModelForm form) {
  ModelDescription description;
  description.model = model;
  description.form = form;
  return description;
}

/// Reads a config.json of the given text.
inline SavedModelConfig read(const std::string& text) {
  const TemporaryDirectory directory;
  write_file(directory / "config.json", text);
  return read_model_config(directory.path(), kChoices);
}

inline std::string refusal(const Json& config) {
  return message_of<CheckpointError>([&] { read(config.dump()); });
}

inline const Json kLlama = Json::parse(R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 320,
  "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4})");

inline Json llama_with(const std::string& key, const Json& value) {
  Json config = kLlama;
  config[key] = value;
  return config;
}

}  // namespace fathom
