#include "fathom/run/checkpoint.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <array>

#include "fathom/base/json.h"
#include "fathom/hugging_face/internal/folding.h"
#include "fathom/hugging_face/internal/tensor_files.h"
#include "fathom/hugging_face/model_files.h"
#include "fathom/hugging_face/plan_json.h"
#include "fathom/hugging_face/weight_files.h"
#include "fathom/model/cost.h"
#include "fathom/runtime/precision.h"
#include "fathom/version.h"

namespace fathom {
namespace {

constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kUnfolded = "unfolded.";
constexpr const char* kState = "state.json";
constexpr uint64_t kMaxStateBytes = 16 << 20;

/// Tensors that a resume needs beside model.safetensors: what the optimizer keeps, step count,
/// gains before folding.
NamedTensors optimizer_tensors(TrainState& state) {
  NamedTensors tensors;
  const auto factors = folded_factors(state.model->plan());
  for (ParameterState& entry : state.optimizer.states()) {
    for (const StateTensor& kept : entry.kept)
      tensors[cat(kept.name, ".", entry.name)] = kept.value;
    if (factors.count(entry.name) != 0) tensors[kUnfolded + entry.name] = entry.parameter.detach();
  }
  tensors["step_count"] = state.optimizer.step_count();
  return tensors;
}

Json state_json(const TrainState& state, const RunIdentity& identity,
                const ObserverStates& observers) {
  Json rate;
  if (state.step > 0 && identity.learning_rate) rate = identity.learning_rate(state.step);
  return {{"fathom_version", FATHOM_VERSION},
          {"learning_rate", rate},
          {"step", state.step},
          {"tokens", state.tokens},
          {"observers", observers},
          {"train_data", identity.train_data},
          {"tokenizer", identity.tokenizer},
          {"numerics", identity.numerics},
          {"config", identity.config}};
}

/// Checkpoints of before there were observers knew of evaluations alone.
ObserverStates observers_of(const Json& saved) {
  if (saved.contains("evaluated_step")) return {{"eval", {{"step", saved.at("evaluated_step")}}}};
  return saved.at("observers").get<ObserverStates>();
}

std::string value_or_unset(const std::map<std::string, std::string>& values,
                           const std::string& key) {
  const auto found = values.find(key);
  return found == values.end() ? "not set" : found->second;
}

/// Whether RoPE's frequencies follow from max_position_embeddings.
bool context_decides(const std::map<std::string, std::string>& config) {
  const std::string type = value_or_unset(config, "model.rope_scaling.rope_type");
  return type != "not set" && type != "default" && type != "linear" &&
         value_or_unset(config, "model.rope_scaling.original_max_position_embeddings") == "not set";
}

/// Keys that make another run of it; the others may change on a resume.
bool must_match(std::string_view key, const std::map<std::string, std::string>& config) {
  constexpr std::array<std::string_view, 12> kKeys = {
      "data.sequence_length",    "data.mode",
      "data.document_attention", "data.add_bos",
      "data.shuffle_seed",       "data.text_field",
      "data.on_invalid_utf8",    "train.seed",
      "train.precision",         "train.global_batch_size",
      "train.init_from",         "optimizer.name"};
  const bool promise = key == "model.max_position_embeddings" && !context_decides(config);
  return (key.starts_with("model.") && !promise) ||
         std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end();
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
    if (must_match(key, before)) {
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

/// Says so where the schedule gives another rate than before: at more steps, say, it starts again
/// from higher up.
void compare_rates(const Json& saved, const RunIdentity& now, int64_t step, const Log& log) {
  const auto before = saved.find("learning_rate");
  if (before == saved.end() || !before->is_number() || !now.learning_rate) return;
  const double rate = now.learning_rate(step);
  if (before->get<double>() == rate) return;
  log.info(cat("resume: the learning rate of step ", step, " was ", before->get<double>(),
               "; by the schedule of now it is ", rate, ", and step ", step + 1, " has ",
               now.learning_rate(step + 1)));
}

}  // namespace

ObserverStates states_of(const std::vector<Observer*>& observers) {
  ObserverStates states;
  for (const Observer* observer : observers) {
    if (Json state = observer->state(); !state.is_null())
      states[observer->name()] = std::move(state);
  }
  return states;
}

namespace {

/// Files beside tensors and tokenizer: the plan in config.json, and the headers of the tensors.
uint64_t bytes_beside(const ModelPlan& plan) {
  constexpr uint64_t kFixed = 24 << 10, kOfLayer = 4 << 10;
  return kFixed + kOfLayer * plan.layers.size();
}

/// At most: of a SentencePiece model a checkpoint has a tokenizer.json, too, which is longer.
uint64_t bytes_of_tokenizer(const std::string& path) {
  std::error_code unknown;
  const uint64_t bytes = std::filesystem::file_size(path, unknown);
  if (unknown) return 0;
  return path.ends_with(".json") ? bytes : 6 * bytes;
}

}  // namespace

CheckpointBytes checkpoint_bytes(const RunConfig& config, const ModelPlan& plan) {
  const ParameterCount count = count_parameters(config.model, plan);
  const auto parameters = static_cast<uint64_t>(count.total());
  const auto kept = static_cast<uint64_t>(optimizer_row(config.optimizer).state_numbers(count));
  const uint64_t width = c10::elementSize(precision_of(config.train).parameters);
  const uint64_t gains =
      folded_factors(plan).size() * static_cast<uint64_t>(config.model.hidden_size);
  return {.model = parameters * width + gains * (sizeof(float) - width),
          .optimizer = kept * width + gains * width,
          .other = bytes_beside(plan) + bytes_of_tokenizer(config.data.tokenizer)};
}

Checkpoint save_checkpoint(const std::filesystem::path& root, TrainState& state,
                           const CheckpointContent& content, const ObserverStates& observers,
                           CheckpointParts parts) {
  const torch::NoGradGuard no_grad;
  const NamedTensors weights = stored_weights(state.model);
  NamedTensors optimizer;
  if (parts == CheckpointParts::all) optimizer = optimizer_tensors(state);
  uint64_t bytes = bytes_beside(state.model->plan());
  for (const auto& entry : content.tokenizer) bytes += entry.second.size();
  for (const auto& entry : weights) bytes += entry.second.nbytes();
  for (const auto& entry : optimizer) bytes += entry.second.nbytes();
  // The model alone is the last resort: the disk itself decides.
  if (parts == CheckpointParts::all) require_free_space(root, bytes);

  CheckpointWriter writer(root, state.step);
  write_tensors(writer.file(kWeightsFile), weights);
  if (parts == CheckpointParts::all) write_tensors(writer.file(kOptimizer), optimizer);
  write_text_file(writer.file(kState),
                  state_json(state, content.identity, observers).dump(1) + "\n");
  ModelDescription description = describe_model(state.model);
  description.tokens = content.tokens;
  description.model_type = content.model_type;
  write_hugging_face_files(writer.file(kState).parent_path(), description, content.tokenizer,
                           content.choices);
  return writer.publish();
}

std::string why_not_resumable(const std::filesystem::path& directory) {
  std::error_code ignored;
  if (std::filesystem::exists(directory / kOptimizer, ignored)) return "";
  return cat(directory.string(), " holds the model without ", kOptimizer,
             ", as a run saves it whose disk has no room for both: no run can go on from it, but "
             "train.init_from starts one with its weights");
}

ObserverStates load_checkpoint(const std::filesystem::path& directory, TrainState& state,
                               const RunIdentity& now, bool deterministic, const Log& log) {
  if (const std::string why = why_not_resumable(directory); !why.empty())
    throw CheckpointError(why);
  ObserverStates observers;
  try {
    const Json saved = parse_json(read_text_file(directory / kState, kMaxStateBytes),
                                  (directory / kState).string());
    compare_identities(directory, saved, now, deterministic, log);
    state.step = saved.at("step").get<int64_t>();
    state.tokens = saved.at("tokens").get<int64_t>();
    observers = observers_of(saved);
    if (state.step > 0) compare_rates(saved, now, state.step, log);
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(error.what());
  } catch (const Json::exception& error) {
    throw CheckpointError(cat((directory / kState).string(), ": ", error.what()));
  }
  NamedTensors weights = as_stored(named_weights(state.model), form_of(state.model->plan()));
  read_tensors(directory / kWeightsFile, weights, [](const std::string&) { return true; });
  NamedTensors optimizer = optimizer_tensors(state);  // the unfolded gains overwrite the folded
  // A moment may have overflown long ago: its weight stands still, and the run goes on.
  read_tensors(directory / kOptimizer, optimizer,
               [](const std::string& name) { return name.starts_with(kUnfolded); });
  return observers;
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
