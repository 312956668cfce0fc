#include "fathom/io/checkpoint.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "fathom/base/json.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/io/plan_json.h"
#include "fathom/io/safetensors.h"
#include "fathom/version.h"

namespace fathom {
namespace {

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kState = "state.json";
constexpr uint64_t kMaxStateBytes = 16 << 20;

using NamedTensors = std::map<std::string, torch::Tensor>;

struct TypePair {
  TensorType file;
  torch::ScalarType tensor;
};

constexpr std::array kTypes = {
    TypePair{TensorType::kF32, torch::kFloat32}, TypePair{TensorType::kBF16, torch::kBFloat16},
    TypePair{TensorType::kF16, torch::kFloat16}, TypePair{TensorType::kF64, torch::kFloat64},
    TypePair{TensorType::kI64, torch::kInt64},
};

TensorType file_type(torch::ScalarType type) {
  for (const TypePair& pair : kTypes) {
    if (pair.tensor == type) return pair.file;
  }
  throw std::logic_error(cat("no safetensors type for ", type));
}

void write_tensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, file_type(tensor.scalar_type()), tensor.sizes().vec()});
  SafetensorsWriter writer(path, specs);
  const std::vector<TensorSpec> order = writer.order();
  for (const TensorSpec& spec : order) {
    const torch::Tensor host = tensors.at(spec.name).to(torch::kCPU).contiguous();
    writer.write(spec.name, {static_cast<const std::byte*>(host.data_ptr()), host.nbytes()});
  }
  writer.publish();
}

/// A tensor of a file, as a copy: its bytes may be unaligned, and the map goes away.
torch::Tensor to_tensor(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsFile::Tensor& stored = file.at(name);
  const auto* pair = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const TypePair& p) { return p.file == stored.dtype; });
  if (pair == kTypes.end())
    throw CheckpointError(cat(file.path().string(), ": tensor '", name, "' has type ",
                              name_of(stored.dtype), "; weights are F32, BF16, F16 or F64"));
  torch::Tensor tensor = torch::empty(stored.shape, pair->tensor);
  std::memcpy(tensor.data_ptr(), stored.bytes.data(), stored.bytes.size());
  return tensor;
}

/// Every name and shape that differs, in one message; silence about any would train garbage.
void require_same_tensors(const SafetensorsFile& file, const NamedTensors& expected) {
  std::vector<std::string> problems;
  for (const auto& [name, tensor] : expected) {
    const auto stored = file.tensors().find(name);
    if (stored == file.tensors().end()) {
      problems.push_back(cat("'", name, "' is missing"));
    } else if (torch::IntArrayRef(stored->second.shape) != tensor.sizes()) {
      problems.push_back(cat("'", name, "' is ", torch::IntArrayRef(stored->second.shape),
                             ", the config says ", tensor.sizes()));
    }
  }
  for (const auto& entry : file.tensors()) {
    if (expected.count(entry.first) == 0) problems.push_back(cat("'", entry.first, "' is unknown"));
  }
  if (problems.empty()) return;
  const size_t shown = std::min<size_t>(problems.size(), 5);
  const std::string rest =
      problems.size() > shown ? cat(", and ", problems.size() - shown, " more") : "";
  problems.resize(shown);
  throw CheckpointError(
      cat(file.path().string(), " doesn't fit its config: ", join(problems), rest));
}

/// Copies a file's tensors into existing ones of the same names and shapes.
void read_tensors(const std::filesystem::path& path, NamedTensors& into) {
  const torch::NoGradGuard no_grad;
  const SafetensorsFile file(path);
  require_same_tensors(file, into);
  for (auto& [name, tensor] : into) tensor.copy_(to_tensor(file, name));
}

NamedTensors parameters_of(const Llama& model) {
  NamedTensors tensors;
  for (const auto& entry : model->named_parameters()) tensors[entry.key()] = entry.value().detach();
  return tensors;
}

/// Factors to fold into gains, by the gain's name; empty where plain Llama can't hold the model.
std::map<std::string, double> folded_factors(const ModelPlan& plan) {
  std::map<std::string, double> factors;
  if (!is_plain_llama(plan)) return factors;
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    const auto add = [&](const char* norm, double factor) {
      if (factor != 1.0) factors[cat("model.layers.", i, ".", norm, ".weight")] = factor;
    };
    add("input_layernorm", plan.layers[i].attention.norm_scale);
    add("post_attention_layernorm", plan.layers[i].feed_forward.norm_scale);
  }
  return factors;
}

/// Tensors that a resume needs beside model.safetensors: moments, step count, gains before folding.
NamedTensors optimizer_tensors(TrainState& state) {
  NamedTensors tensors;
  const auto factors = folded_factors(state.model->plan());
  for (ParameterState& entry : state.optimizer.states()) {
    tensors["first_moment." + entry.name] = entry.first_moment;
    tensors["second_moment." + entry.name] = entry.second_moment;
    if (factors.count(entry.name) != 0)
      tensors["unfolded." + entry.name] = entry.parameter.detach();
  }
  tensors["step_count"] = state.optimizer.step_count();
  return tensors;
}

Json state_json(const TrainState& state, const RunIdentity& identity) {
  return {{"fathom_version", FATHOM_VERSION},
          {"step", state.step},
          {"tokens", state.tokens},
          {"evaluated_step", state.evaluated_step},
          {"train_data", identity.train_data},
          {"tokenizer", identity.tokenizer},
          {"numerics", identity.numerics},
          {"config", identity.config}};
}

/// Keys that make another run of it; the others may change on a resume.
bool must_match(std::string_view key) {
  constexpr std::array<std::string_view, 11> kKeys = {
      "data.sequence_length",    "data.mode",
      "data.document_attention", "data.add_bos",
      "data.shuffle_seed",       "data.text_field",
      "data.on_invalid_utf8",    "train.seed",
      "train.precision",         "train.global_batch_size",
      "optimizer.name"};
  const bool norm_of_export = key == "model.max_position_embeddings";
  return (key.starts_with("model.") && !norm_of_export) ||
         std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end();
}

std::string value_or_unset(const std::map<std::string, std::string>& values,
                           const std::string& key) {
  const auto found = values.find(key);
  return found == values.end() ? "not set" : found->second;
}

/// Compares the config of a checkpoint with that of the run that resumes it.
void compare_configs(const std::filesystem::path& directory,
                     const std::map<std::string, std::string>& before,
                     const std::map<std::string, std::string>& now, const Log& log) {
  std::map<std::string, std::string> all = before;
  all.insert(now.begin(), now.end());
  std::vector<std::string> broken;
  for (const auto& entry : all) {
    const std::string& key = entry.first;
    const std::string old_value = value_or_unset(before, key);
    const std::string new_value = value_or_unset(now, key);
    if (old_value == new_value) continue;
    const std::string change = cat(key, " was ", old_value, " and is ", new_value);
    if (must_match(key)) {
      broken.push_back(change);
    } else if (!key.starts_with("data.")) {
      log.info("resume: " + change);
    }
  }
  if (!broken.empty())
    throw CheckpointError(cat("can't resume ", directory.string(), ": ", join(broken, "; "),
                              ". Set them back, or start another run with another train.out_dir"));
}

void compare_identities(const std::filesystem::path& directory, const Json& saved,
                        const RunIdentity& now, bool deterministic, const Log& log) {
  compare_configs(directory, saved.at("config").get<std::map<std::string, std::string>>(),
                  now.config, log);
  const auto require_same = [&](const char* what, const std::string& before,
                                const std::string& after) {
    if (before != after)
      throw CheckpointError(cat("can't resume ", directory.string(), ": the ", what,
                                " changed (checksum ", before.substr(0, 12), " before, ",
                                after.substr(0, 12),
                                " now); use the same files, or another "
                                "train.out_dir"));
  };
  require_same("tokenizer", saved.at("tokenizer").get<std::string>(), now.tokenizer);
  require_same("training data", saved.at("train_data").get<std::string>(), now.train_data);
  const auto numerics = saved.at("numerics").get<std::string>();
  if (numerics == now.numerics) return;
  const std::string change = cat("the checkpoint was made with ", numerics, ", this run has ",
                                 now.numerics, ": results agree up to rounding, not bit for bit");
  if (deterministic) throw CheckpointError("can't resume with train.deterministic: " + change);
  log.warn(change);
}

/// The plan that a model directory states, or that its config says.
ModelPlan saved_plan(const std::filesystem::path& directory, const SavedModelConfig& saved) {
  if (saved.plan.is_null()) return resolve_plan(saved.model);
  try {
    ModelPlan plan = plan_from_json(saved.plan);
    const auto layers = static_cast<int64_t>(plan.layers.size());
    if (layers != saved.model.num_hidden_layers)
      throw std::invalid_argument(cat("it has ", layers, " layers, and num_hidden_layers is ",
                                      saved.model.num_hidden_layers));
    return plan;
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(
        cat((directory / "config.json").string(), ": fathom.plan: ", error.what()));
  } catch (const Json::exception& error) {
    throw CheckpointError(
        cat((directory / "config.json").string(), ": fathom.plan: ", error.what()));
  }
}

}  // namespace

std::filesystem::path save_checkpoint(const std::filesystem::path& root, TrainState& state,
                                      const CheckpointContent& content) {
  const torch::NoGradGuard no_grad;
  NamedTensors weights = parameters_of(state.model);
  const auto factors = folded_factors(state.model->plan());
  for (const auto& [name, factor] : factors)
    weights[name] = weights[name].to(torch::kFloat32) * factor;
  const NamedTensors optimizer = optimizer_tensors(state);
  uint64_t bytes = content.tokenizer_model.size() + kMaxStateBytes;
  for (const auto& entry : weights) bytes += entry.second.nbytes();
  for (const auto& entry : optimizer) bytes += entry.second.nbytes();
  require_free_space(root, bytes);

  CheckpointWriter writer(root, state.step);
  write_tensors(writer.file(kWeights), weights);
  write_tensors(writer.file(kOptimizer), optimizer);
  write_text_file(writer.file(kState), state_json(state, content.identity).dump(1) + "\n");
  const ModelPlan& plan = state.model->plan();
  const bool bf16 = state.optimizer.states().front().parameter.scalar_type() == torch::kBFloat16;
  write_hugging_face_files(
      writer.file(kState).parent_path(),
      {.model = state.model->config(),
       .tokens = content.tokens,
       .dtype = bf16 ? "bfloat16" : "float32",
       .norm_scale_folded = !factors.empty(),
       .plain_llama = is_plain_llama(plan),
       .head_norms = plan.layers.front().attention.query_norm == HeadNorm::head,
       .plan = plan_to_json(plan)},
      content.tokenizer_model, content.choices);
  return writer.publish().directory;
}

void load_checkpoint(const std::filesystem::path& directory, TrainState& state,
                     const RunIdentity& now, bool deterministic, const Log& log) {
  try {
    const Json saved = parse_json(read_text_file(directory / kState, kMaxStateBytes),
                                  (directory / kState).string());
    compare_identities(directory, saved, now, deterministic, log);
    state.step = saved.at("step").get<int64_t>();
    state.tokens = saved.at("tokens").get<int64_t>();
    state.evaluated_step = saved.at("evaluated_step").get<int64_t>();
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(error.what());
  } catch (const Json::exception& error) {
    throw CheckpointError(cat((directory / kState).string(), ": ", error.what()));
  }
  NamedTensors weights = parameters_of(state.model);
  read_tensors(directory / kWeights, weights);
  NamedTensors optimizer = optimizer_tensors(state);  // the unfolded gains overwrite the folded
  read_tensors(directory / kOptimizer, optimizer);
}

Llama load_model(const std::filesystem::path& directory, torch::Device device,
                 torch::ScalarType dtype, const Choices& choices) {
  const SavedModelConfig saved = read_model_config(directory, choices);
  ModelPlan plan = saved_plan(directory, saved);
  if (saved.norm_scale_folded) {
    for (LayerPlan& layer : plan.layers)
      layer.attention.norm_scale = layer.feed_forward.norm_scale = 1.0;
  }
  Llama model(saved.model, plan, torch::TensorOptions(dtype).device(device), dtype);
  NamedTensors weights = parameters_of(model);
  read_tensors(directory / kWeights, weights);
  return model;
}

std::filesystem::path find_model(const std::filesystem::path& directory, const StopFlag& stop,
                                 const Log& log) {
  if (std::filesystem::exists(directory / kWeights)) return directory;
  std::vector<SkippedCheckpoint> skipped;
  const auto newest = newest_valid(directory / "checkpoints", skipped, stop);
  for (const SkippedCheckpoint& bad : skipped)
    log.warn(cat("skipped ", bad.directory.string(), ": ", bad.reason));
  if (!newest)
    throw CheckpointError(cat(directory.string(), " holds neither ", kWeights,
                              " nor checkpoints; name a run's directory or a model's"));
  return newest->directory;
}

}  // namespace fathom
