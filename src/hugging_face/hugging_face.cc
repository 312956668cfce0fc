#include "fathom/hugging_face/hugging_face.h"

#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/json.h"
#include "fields_json.h"
#include "keys.h"
#include "modeling_code.h"

namespace fathom {
namespace {

constexpr int64_t kBlockVersion = 1;
constexpr uint64_t kMaxConfigBytes = 4 << 20;

Json id_or_null(const std::optional<int64_t>& id) { return id ? Json(*id) : Json(); }

/// One id, a list of them, or null.
Json ids_or_null(const std::vector<int64_t>& ids) {
  return ids.empty() ? Json() : ids.size() == 1 ? Json(ids[0]) : Json(ids);
}

SpecialTokens read_tokens(const Json& config) {
  const auto first = [&](const char* key) -> std::optional<int64_t> {
    const std::vector<int64_t> ids = read_token_ids(config, key);
    return ids.empty() ? std::nullopt : std::optional(ids[0]);
  };
  return {.bos = first("bos_token_id"),
          .eos = read_token_ids(config, "eos_token_id"),
          .pad = first("pad_token_id")};
}

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
  // Where it follows from max_position_embeddings, it stays when that is raised.
  if (fields.find("model.rope_scaling.original_max_position_embeddings")->has_effect())
    saved.model.rope_scaling.original_max_position_embeddings = saved.model.original_context();
  saved.plan = block.at("plan");
  return saved;
}

/// Other programs read and write the keys around the block and expect us to follow; the block has
/// to agree where they decide what the model computes. Its vocabulary may have been resized, and
/// contexts may have been extended.
void follow_keys(const Json& config, SavedModelConfig& saved, const Choices& choices) {
  const Family* family = find_family(saved.model_type);
  const Json ours = deciding_keys(architecture_keys(saved.model, family, choices), choices);
  const Json theirs = deciding_keys(config, choices);
  for (const auto& [key, expected] : ours.items()) {
    const auto entry = theirs.find(key);
    if (entry != theirs.end() && *entry != expected)
      throw std::invalid_argument(cat(key, " is ", entry->dump(), ", but the block fathom says ",
                                      expected.dump(), ": change both"));
  }
  Json changes = Json::object();
  for (const char* key : {"vocab_size", "initializer_range", "max_position_embeddings"}) {
    if (config.contains(key)) changes[key] = config.at(key);
  }
  // Of a dynamic RoPE it is the context that it was trained for.
  if (saved.model.rope_scaling.rope_type == "dynamic") changes.erase("max_position_embeddings");
  Fields fields(choices);
  fields.section("model", saved.model);
  fields_from_json(changes, fields, "model");
  Json without_code = config;  // of ours
  without_code.erase("auto_map");
  check_followed_keys(without_code, family == nullptr ? *find_family("llama") : *family,
                      saved.model);
}

/// Sets keys that a config.json can't say or says wrongly.
void apply_to_model(const std::vector<Override>& overrides, ModelConfig& model,
                    const Choices& choices) {
  Fields fields(choices);
  fields.section("model", model);
  apply_overrides(fields, overrides);
}

SavedModelConfig parse_config(const Json& config, const Choices& choices,
                              const std::vector<Override>& overrides) {
  if (!config.is_object()) throw std::invalid_argument("isn't a JSON object");
  SavedModelConfig saved;
  if (config.contains("fathom")) {
    if (!overrides.empty())
      throw std::invalid_argument(
          cat("it has a block \"fathom\", which says all of the model; drop ", overrides[0].path));
    saved = read_block(config.at("fathom"), choices);
    const std::string type = config.value("model_type", "");
    if (find_family(type) != nullptr) saved.model_type = type;
    follow_keys(config, saved, choices);
  } else {
    ArchitectureModel described = from_architecture_keys(config, choices);
    saved.model = described.model;
    saved.read_over = std::move(described.read_over);
    saved.model_type = config.at("model_type").get<std::string>();
    apply_to_model(overrides, saved.model, choices);
    check_followed_keys(config, *find_family(saved.model_type), saved.model);
  }
  saved.tokens = read_tokens(config);
  if (const auto broken = saved.model.inconsistencies(); !broken.empty())
    throw std::invalid_argument(join(broken, "; "));
  return saved;
}

}  // namespace

std::string config_json(const ModelDescription& description, const Choices& choices) {
  const Family* family = family_of(description.form, description.model, description.model_type);
  Json config = Json::object();
  config["architectures"] = {family == nullptr ? "FathomForCausalLM" : family->architecture};
  config["model_type"] = family == nullptr ? "fathom" : family->model_type;
  config.update(architecture_keys(description.model, family, choices));
  config["bos_token_id"] = id_or_null(description.tokens.bos);
  config["eos_token_id"] = ids_or_null(description.tokens.eos);
  config["pad_token_id"] = id_or_null(description.tokens.pad);
  config["torch_dtype"] = description.dtype;  // transformers 4
  config["dtype"] = description.dtype;        // transformers 5
  if (family == nullptr)
    config["auto_map"] = {{"AutoConfig", "modeling_fathom.FathomConfig"},
                          {"AutoModelForCausalLM", "modeling_fathom.FathomForCausalLM"}};
  config["fathom"] = fathom_block(description, choices);
  return config.dump(2) + "\n";
}

std::string generation_config_json(const SpecialTokens& tokens) {
  Json config = Json::object();
  if (tokens.bos) config["bos_token_id"] = *tokens.bos;
  if (!tokens.eos.empty()) config["eos_token_id"] = ids_or_null(tokens.eos);
  if (tokens.pad) config["pad_token_id"] = *tokens.pad;
  return config.dump(2) + "\n";
}

void require_directory(const std::filesystem::path& directory) {
  std::error_code ignored;
  if (std::filesystem::is_directory(directory, ignored)) return;
  const std::string name = directory.string();
  const size_t slash = name.find('/');
  const bool one_slash =
      slash != std::string::npos && name.find('/', slash + 1) == std::string::npos;
  const bool owner_and_name = one_slash && slash > 0 && slash + 1 < name.size() && name[0] != '.';
  if (std::filesystem::exists(directory, ignored) || !owner_and_name)
    throw CheckpointError(cat(name, " is no directory; name a run's directory or a model's"));
  throw CheckpointError(cat(name,
                            ": no such directory. If that is a model on the Hugging Face hub, "
                            "download it, then name its directory: hf download ",
                            name, " --local-dir ", name.substr(slash + 1)));
}

void write_hugging_face_files(const std::filesystem::path& directory,
                              const ModelDescription& description, const TokenizerFiles& tokenizer,
                              const Choices& choices) {
  write_text_file(directory / "config.json", config_json(description, choices));
  TokenizerFiles files = tokenizer;
  files.emplace("generation_config.json", generation_config_json(description.tokens));
  if (family_of(description.form, description.model, description.model_type) == nullptr)
    files["modeling_fathom.py"] = modeling_code();
  for (const auto& [name, content] : files) {
    const std::filesystem::path path = directory / name;
    if (path.parent_path() != directory) make_directories(path.parent_path());
    write_text_file(path, content);
  }
}

void warn_of_read_over(const std::filesystem::path& directory, const SavedModelConfig& saved,
                       const Log& log) {
  if (saved.read_over.empty()) return;
  log.warn(cat((directory / "config.json").string(),
               ": keys that change nothing in what the model computes are read over: ",
               join(saved.read_over)));
}

SavedModelConfig read_model_config(const std::filesystem::path& directory, const Choices& choices,
                                   const std::vector<Override>& overrides) {
  require_directory(directory);
  const std::filesystem::path path = directory / "config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    throw CheckpointError(cat(path.string(), ": no such file",
                              std::filesystem::exists(directory / "params.json", ignored)
                                  ? "; params.json there is of another format: download the "
                                    "model as transformers has it"
                                  : "; is it a model directory?"));
  Json config;
  try {
    config = parse_json(read_text_file(path, kMaxConfigBytes), path.string());
  } catch (const DataError& pointer) {
    throw CheckpointError(pointer.what());
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(error.what());
  }
  try {
    return parse_config(config, choices, overrides);
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(cat(path.string(), ": ", error.what()));
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError(cat(path.string(), ": a key is missing: ", error.what()));
  }
}

}  // namespace fathom
