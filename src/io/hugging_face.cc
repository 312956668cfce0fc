#include "fathom/io/hugging_face.h"

#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/json.h"
#include "fields_json.h"
#include "hugging_face_keys.h"
#include "tokenizer_json.h"

namespace fathom {
namespace {

constexpr int64_t kBlockVersion = 1;
constexpr uint64_t kMaxConfigBytes = 4 << 20;

Json id_or_null(const std::optional<int64_t>& id) { return id ? Json(*id) : Json(); }

/// Fathom's own block: what a Llama config can't say.
Json fathom_block(const ModelDescription& description, const Choices& choices) {
  ModelConfig model = description.model;
  Fields fields(choices);
  fields.section("model", model);
  return {{"version", kBlockVersion},
          {"norm_scale", description.norm_scale_folded ? "folded" : "none"},
          {"model", fields_to_json(fields, "model")},
          {"plan", description.plan}};
}

SavedModelConfig read_block(const Json& block, const Choices& choices) {
  if (!block.is_object()) throw std::invalid_argument("fathom isn't an object");
  for (const auto& [key, value] : block.items()) {
    if (key != "version" && key != "norm_scale" && key != "model" && key != "plan")
      throw std::invalid_argument(cat("unknown key 'fathom.", key, "'"));
  }
  const Json& version = block.at("version");
  if (version != kBlockVersion)
    throw std::invalid_argument(cat("fathom.version is ", version.dump(), "; this Fathom reads ",
                                    kBlockVersion, ": is it from a newer one?"));
  const Json& norm_scale = block.at("norm_scale");
  if (norm_scale != "folded" && norm_scale != "none")
    throw std::invalid_argument(
        cat("fathom.norm_scale is ", norm_scale.dump(), "; allowed: folded, none"));
  SavedModelConfig saved;
  saved.norm_scale_folded = norm_scale == "folded";
  Fields fields(choices);
  fields.section("model", saved.model);
  fields_from_json(block.at("model"), fields, "model");
  saved.plan = block.at("plan");
  return saved;
}

/// Someone may have edited the keys that other programs read and expect us to follow.
void check_agreement(const Json& config, const ModelConfig& model, const Choices& choices) {
  const Json expected_keys = architecture_keys(model, /*qwen=*/false, choices);
  for (const auto& [key, expected] : expected_keys.items()) {
    const auto entry = config.find(key);
    if (entry == config.end() || entry->is_structured() || expected.is_structured()) continue;
    if (*entry != expected)
      throw std::invalid_argument(cat(key, " is ", entry->dump(), ", but the block fathom says ",
                                      expected.dump(), ": change both"));
  }
}

SavedModelConfig parse_config(const Json& config, const Choices& choices) {
  if (!config.is_object()) throw std::invalid_argument("isn't a JSON object");
  SavedModelConfig saved;
  if (config.contains("fathom")) {
    saved = read_block(config.at("fathom"), choices);
    check_agreement(config, saved.model, choices);
  } else {
    saved.model = from_architecture_keys(config, choices);
  }
  if (const std::string broken = saved.model.inconsistency(); !broken.empty())
    throw std::invalid_argument(broken);
  return saved;
}

}  // namespace

std::string config_json(const ModelDescription& description, const Choices& choices) {
  const bool qwen = description.head_norms;
  Json config = Json::object();
  if (description.plain_llama) {
    config["architectures"] = {qwen ? "Qwen3ForCausalLM" : "LlamaForCausalLM"};
    config["model_type"] = qwen ? "qwen3" : "llama";
  } else {
    config["architectures"] = {"FathomForCausalLM"};
    config["model_type"] = "fathom";
  }
  config.update(architecture_keys(description.model, qwen, choices));
  config["bos_token_id"] = id_or_null(description.tokens.bos);
  config["eos_token_id"] = id_or_null(description.tokens.eos);
  config["pad_token_id"] = id_or_null(description.tokens.pad);
  config["torch_dtype"] = description.dtype;  // transformers 4
  config["dtype"] = description.dtype;        // transformers 5
  config["fathom"] = fathom_block(description, choices);
  return config.dump(2) + "\n";
}

std::string generation_config_json(const SpecialTokens& tokens) {
  Json config = Json::object();
  if (tokens.bos) config["bos_token_id"] = *tokens.bos;
  if (tokens.eos) config["eos_token_id"] = *tokens.eos;
  if (tokens.pad) config["pad_token_id"] = *tokens.pad;
  return config.dump(2) + "\n";
}

void write_hugging_face_files(const std::filesystem::path& directory,
                              const ModelDescription& description, std::string_view tokenizer_model,
                              const Choices& choices) {
  write_text_file(directory / "config.json", config_json(description, choices));
  write_text_file(directory / "generation_config.json", generation_config_json(description.tokens));
  if (!tokenizer_model.empty())
    write_tokenizer_files(directory, tokenizer_model, description.tokens,
                          description.model.max_position_embeddings);
}

SavedModelConfig read_model_config(const std::filesystem::path& directory, const Choices& choices) {
  const std::filesystem::path path = directory / "config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    throw CheckpointError(cat(path.string(), ": no such file; is it a model directory?"));
  const std::string text = read_text_file(path, kMaxConfigBytes);
  Json config;
  try {
    config = parse_json(text, path.string());
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(error.what());
  }
  try {
    return parse_config(config, choices);
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(cat(path.string(), ": ", error.what()));
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError(cat(path.string(), ": a key is missing: ", error.what()));
  }
}

}  // namespace fathom
