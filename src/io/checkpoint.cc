#include "fathom/io/checkpoint.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <array>

#include "fathom/base/json.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/io/model_files.h"
#include "fathom/io/plan_json.h"
#include "fathom/io/weight_files.h"
#include "fathom/version.h"
#include "tensor_files.h"

namespace fathom {
namespace {

constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kState = "state.json";
constexpr uint64_t kMaxStateBytes = 16 << 20;

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
  constexpr std::array<std::string_view, 12> kKeys = {
      "data.sequence_length",    "data.mode",
      "data.document_attention", "data.add_bos",
      "data.shuffle_seed",       "data.text_field",
      "data.on_invalid_utf8",    "train.seed",
      "train.precision",         "train.global_batch_size",
      "train.init_from",         "optimizer.name"};
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

}  // namespace

std::filesystem::path save_checkpoint(const std::filesystem::path& root, TrainState& state,
                                      const CheckpointContent& content) {
  const torch::NoGradGuard no_grad;
  const NamedTensors weights = stored_weights(state.model);
  const NamedTensors optimizer = optimizer_tensors(state);
  uint64_t bytes = kMaxStateBytes;
  for (const auto& entry : content.tokenizer) bytes += entry.second.size();
  for (const auto& entry : weights) bytes += entry.second.nbytes();
  for (const auto& entry : optimizer) bytes += entry.second.nbytes();
  require_free_space(root, bytes);

  CheckpointWriter writer(root, state.step);
  write_tensors(writer.file(kWeightsFile), weights);
  write_tensors(writer.file(kOptimizer), optimizer);
  write_text_file(writer.file(kState), state_json(state, content.identity).dump(1) + "\n");
  ModelDescription description = describe_model(state.model);
  description.tokens = content.tokens;
  description.model_type = content.model_type;
  write_hugging_face_files(writer.file(kState).parent_path(), description, content.tokenizer,
                           content.choices);
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
  NamedTensors weights = as_stored(named_weights(state.model), form_of(state.model->plan()));
  read_tensors(directory / kWeightsFile, weights);
  NamedTensors optimizer = optimizer_tensors(state);  // the unfolded gains overwrite the folded
  read_tensors(directory / kOptimizer, optimizer);
}

void read_data_settings(const std::filesystem::path& directory, DataConfig& data,
                        const Choices& choices) {
  const std::filesystem::path path = directory / kState;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  try {
    const Json saved = parse_json(read_text_file(path, kMaxStateBytes), path.string());
    Fields fields(choices);
    fields.section("data", data);
    apply_values(fields, saved.at("config").get<std::map<std::string, std::string>>());
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(error.what());
  } catch (const Json::exception& error) {
    throw CheckpointError(cat(path.string(), ": ", error.what()));
  } catch (const ConfigError& error) {
    throw CheckpointError(cat(path.string(), ": ", error.what()));
  }
}

}  // namespace fathom
