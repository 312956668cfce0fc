#include "fathom/hugging_face/model_files.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "families.h"
#include "fathom/base/error.h"
#include "fathom/hugging_face/internal/folding.h"
#include "fathom/hugging_face/internal/tensor_files.h"
#include "fathom/hugging_face/plan_json.h"
#include "fathom/hugging_face/weight_files.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/io/disk_room.h"
#include "fathom/io/internal/new_directory.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

/// A directory's tensors, checked against a model's names and shapes.
class ModelWeights {
 public:
  ModelWeights(const fs::path& directory, const NamedTensors& expected, ModelForm form)
      : files_(directory), form_(form) {
    for (const auto& [name, tensor] : files_.tensors())
      stored_[name_of_stored(form, name)] = tensor;
    drop_redundant(expected);
    require_same_tensors(stored_, expected, files_.path());
    for (const auto& [name, stored] : stored_) {
      const auto type = tensor_type(stored->dtype);
      if (!type || !at::isFloatingType(*type))
        throw CheckpointError(cat(
            files_.path().string(), ": tensor '", name, "' has type ", name_of(stored->dtype),
            "; allowed: F32, BF16, F16 or F64. Quantized weights aren't read: load the model in "
            "transformers, call dequantize() and save_pretrained(DIR), and name DIR"));
    }
  }

  const fs::path& path() const { return files_.path(); }
  const SafetensorsFile::Tensor& stored(const std::string& name) const { return *stored_.at(name); }
  torch::Tensor tensor(const std::string& name) const {
    return to_tensor(stored(name), name, files_.path(),
                     [&](const ByteSink& sink) { read(name, sink); });
  }
  void read(const std::string& name, const ByteSink& sink) const {
    files_.read(stored_name(form_, name), sink);
  }

 private:
  /// Old exports hold what follows from the config or from another tensor.
  void drop_redundant(const NamedTensors& expected) {
    std::erase_if(stored_,
                  [](const auto& entry) { return entry.first.ends_with(".rotary_emb.inv_freq"); });
    const auto head = stored_.find("lm_head.weight");
    const auto embedding = stored_.find("model.embed_tokens.weight");
    if (head == stored_.end() || embedding == stored_.end() || expected.count(head->first) != 0)
      return;
    const auto &a = head->second->bytes, &b = embedding->second->bytes;
    if (!std::equal(a.begin(), a.end(), b.begin(), b.end()))
      throw CheckpointError(cat(files_.path().string(),
                                ": 'lm_head.weight' differs from 'model.embed_tokens.weight', but "
                                "tie_word_embeddings is true; set it to false in config.json"));
    stored_.erase(head);
  }

  WeightFiles files_;
  ModelForm form_;
  StoredTensors stored_;
};

/// The plan that a model directory states, or that its config says.
ModelPlan saved_plan(const std::filesystem::path& directory, const SavedModelConfig& saved) {
  if (saved.plan.is_null()) return resolve_plan(saved.model);
  try {
    ModelPlan plan = plan_from_json(saved.plan);
    const auto layers = static_cast<int64_t>(plan.layers.size());
    if (layers != saved.model.num_hidden_layers)
      throw std::invalid_argument(cat("it has ", layers, " layers, and num_hidden_layers is ",
                                      saved.model.num_hidden_layers,
                                      "; take config.json as Fathom wrote it"));
    return plan;
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(
        cat((directory / "config.json").string(), ": fathom.plan: ", error.what()));
  } catch (const Json::exception& error) {
    throw CheckpointError(
        cat((directory / "config.json").string(), ": fathom.plan: ", error.what()));
  }
}

/// What a model's weights are called, without their memory.
Llama shape_of(const ModelConfig& config, const ModelPlan& plan) {
  return Llama(config, plan, torch::TensorOptions(torch::kFloat32).device("meta"), torch::kFloat32);
}

/// How each tensor of a copy comes about.
struct CopyPlan {
  ModelForm form;                     // of the copy
  std::vector<TensorSpec> specs;      // in the model's order, under the files' names
  std::map<std::string, Fold> folds;  // what they are multiplied by, by the model's names
};

CopyPlan plan_copy(const Llama& shape, const ModelWeights& weights, const Folding& folding,
                   const std::optional<torch::ScalarType>& dtype) {
  CopyPlan plan{.form = form_of(folding.plan), .specs = {}, .folds = folding.folds};
  const auto factors = folded_factors(shape->plan());
  const std::vector<std::string>& absorbed = folding.absorbed;
  for (const auto& entry : shape->named_parameters()) {
    const std::string& name = entry.key();
    if (std::find(absorbed.begin(), absorbed.end(), name) != absorbed.end()) continue;
    const SafetensorsFile::Tensor& stored = weights.stored(name);
    TensorType type = dtype ? file_type(*dtype) : stored.dtype;
    const bool has_factor = factors.count(name) != 0 || plan.folds.count(name) != 0;
    if (has_factor && stored.shape.size() == 1) type = TensorType::kF32;
    plan.specs.push_back({stored_name(plan.form, name), type, stored.shape});
  }
  return plan;
}

/// In float64, so that it is rounded once.
torch::Tensor folded(const torch::Tensor& tensor, const Fold& fold, const ModelWeights& weights) {
  torch::Tensor product = tensor.to(torch::kFloat64) * fold.factor;
  if (!fold.gain.empty()) {
    const torch::Tensor gain = weights.tensor(fold.gain).to(torch::kFloat64);
    product = product * (product.dim() == 2 ? gain.unsqueeze(1) : gain);
  }
  if (!fold.exponent.empty()) {
    const torch::Tensor exponent = weights.tensor(fold.exponent).to(torch::kFloat64);
    product = product * torch::exp(exponent * -std::log(fold.base));
  }
  return product;
}

/// What a narrower type or a factor made infinite would train and export as such.
torch::Tensor narrowed(const torch::Tensor& tensor, torch::ScalarType type, const fs::path& path,
                       const std::string& name) {
  torch::Tensor result = tensor.to(type);
  if (!at::isfinite(result).all().item<bool>())
    throw CheckpointError(cat(path.string(), ": tensor '", name, "' holds ",
                              tensor.abs().max().item<double>(), ", more than ",
                              torch::toString(type),
                              " expresses; take a wider type, or another copy of the model"));
  return result;
}

void write_shard(const fs::path& path, const WeightShard& shard, const CopyPlan& plan,
                 const ModelWeights& weights, const StopFlag& stop) {
  SafetensorsWriter writer(path, shard.tensors);
  const std::vector<TensorSpec> order = writer.order();
  for (const TensorSpec& spec : order) {
    stop.check();
    const std::string name = name_of_stored(plan.form, spec.name);
    const auto fold = plan.folds.find(name);
    const SafetensorsFile::Tensor& stored = weights.stored(name);
    if (fold == plan.folds.end() && stored.dtype == spec.dtype) {
      weights.read(name, [&](std::span<const std::byte> bytes) { writer.write(spec.name, bytes); });
      continue;
    }
    torch::Tensor tensor = weights.tensor(name);
    if (fold != plan.folds.end()) tensor = folded(tensor, fold->second, weights);
    tensor = narrowed(tensor, *tensor_type(spec.dtype), weights.path(), name);
    writer.write(spec.name, {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()});
  }
  writer.publish();
}

/// What a copy folds: norm scales that aren't yet where they make plain Llama, and with
/// `fold_gains` all that makes an architecture of transformers.
Folding folding_for(const Llama& shape, bool norm_scale_folded, bool fold_gains) {
  const ModelPlan& plan = shape->plan();
  Folding folding{.plan = plan};
  if (form_of(plan) != ModelForm::other) {
    if (!norm_scale_folded) folding.folds = fold(plan, shape->config()).folds;
  } else if (fold_gains) {
    Folding all = fold(plan, shape->config());
    if (form_of(all.plan) != ModelForm::other) folding = std::move(all);
  }
  return folding;
}

/// With all of a placement in the weights, what is left is the architecture's own.
void forget_placement(ModelDescription& description) {
  NormConfig norm;
  norm.placement = description.form == ModelForm::reordered ? "reordered" : "pre";
  description.model.norm = norm;
  if (description.form != ModelForm::reordered)
    description.model.qk_norm =
        description.form == ModelForm::pre_with_head_norms ? "head" : "none";
  description.plan = plan_to_json(resolve_plan(description.model));
  description.norm_scale_folded = false;
}

/// torch's name for the type of the largest tensor: norms may have another.
std::string dtype_name(const std::vector<TensorSpec>& specs) {
  const auto largest = std::max_element(
      specs.begin(), specs.end(),
      [](const TensorSpec& a, const TensorSpec& b) { return a.num_bytes() < b.num_bytes(); });
  switch (largest->dtype) {
    case TensorType::kBF16:
      return "bfloat16";
    case TensorType::kF16:
      return "float16";
    case TensorType::kF64:
      return "float64";
    default:
      return "float32";
  }
}

}  // namespace

std::map<std::string, torch::Tensor> named_weights(const Llama& model) {
  NamedTensors tensors;
  for (const auto& entry : model->named_parameters()) tensors[entry.key()] = entry.value().detach();
  return tensors;
}

NamedTensors as_stored(const NamedTensors& weights, ModelForm form) {
  NamedTensors stored;
  for (const auto& [name, tensor] : weights) stored[stored_name(form, name)] = tensor;
  return stored;
}

NamedTensors stored_weights(const Llama& model) {
  NamedTensors weights = named_weights(model);
  for (const auto& [name, factor] : folded_factors(model->plan()))
    weights[name] = weights[name].to(torch::kFloat32) * factor;
  return as_stored(weights, form_of(model->plan()));
}

ModelDescription describe_model(const Llama& model) {
  const ModelPlan& plan = model->plan();
  const bool bf16 = model->parameters().front().scalar_type() == torch::kBFloat16;
  ModelDescription description;
  description.model = model->config();
  description.dtype = bf16 ? "bfloat16" : "float32";
  description.norm_scale_folded = !folded_factors(plan).empty();
  description.form = form_of(plan);
  description.plan = plan_to_json(plan);
  return description;
}

void save_model(const fs::path& directory, const Llama& model, const Choices& choices) {
  const torch::NoGradGuard no_grad;
  NewDirectory target(directory);
  write_tensors(target.path() / kWeightsFile, stored_weights(model));
  write_hugging_face_files(target.path(), describe_model(model), {}, choices);
  target.publish();
}

Llama load_model(const fs::path& directory, torch::Device device, torch::ScalarType dtype,
                 const Choices& choices) {
  const SavedModelConfig saved = read_model_config(directory, choices);
  ModelPlan plan = saved_plan(directory, saved);
  if (saved.norm_scale_folded) {
    for (LayerPlan& layer : plan.layers)
      layer.attention.norm_scale = layer.feed_forward.norm_scale = 1.0;
  }
  Llama model(saved.model, plan, torch::TensorOptions(dtype).device(device), dtype);
  load_weights(directory, model, choices);
  return model;
}

void require_same_plan(const fs::path& directory, const ModelPlan& plan, const Choices& choices) {
  const SavedModelConfig saved = read_model_config(directory, choices);
  const auto as_trained = [](ModelPlan trained) {
    for (LayerPlan& layer : trained.layers) layer.attention.start = layer.feed_forward.start = {};
    return trained;
  };
  if (saved.plan.is_null() || as_trained(saved_plan(directory, saved)) == as_trained(plan)) return;
  throw CheckpointError(cat(directory.string(),
                            " was trained with another plan of norms than this "
                            "config gives, by a placement of a program's own; train.init_from "
                            "needs the same placement"));
}

void load_weights(const fs::path& directory, Llama& model, const Choices& choices) {
  const torch::NoGradGuard no_grad;
  NamedTensors into = named_weights(model);
  const ModelWeights weights(directory, into, form_of(model->plan()));
  const bool folded = read_model_config(directory, choices).norm_scale_folded;
  const auto factors = folded ? folded_factors(model->plan()) : std::map<std::string, double>();
  for (auto& [name, tensor] : into) {
    const auto factor = factors.find(name);
    torch::Tensor stored = weights.tensor(name);
    if (factor != factors.end()) stored = stored.to(torch::kFloat32) / factor->second;
    const bool may_overflow =
        factor != factors.end() || stored.element_size() > tensor.element_size();
    tensor.copy_(may_overflow ? narrowed(stored, tensor.scalar_type(), weights.path(), name)
                              : stored);
  }
}

fs::path find_model(const fs::path& directory, const StopFlag& stop, const Log& log) {
  require_directory(directory);
  if (has_weights(directory)) {
    warn_of_edits(directory, log);
    return directory;
  }
  std::vector<SkippedCheckpoint> skipped;
  const auto newest = newest_valid(directory / "checkpoints", skipped, stop, {}, Verified::weights);
  for (const SkippedCheckpoint& bad : skipped)
    log.warn(cat("skipped ", bad.directory.string(), ": ", bad.reason));
  if (!newest)
    throw CheckpointError(
        cat(no_weights(directory, " nor checkpoints"), "; name a run's directory or a model's"));
  warn_of_edits(newest->directory, log);
  return newest->directory;
}

CopiedModel copy_model(const fs::path& from, const fs::path& to, const CopyOptions& options,
                       const Choices& choices, const StopFlag& stop) {
  const SavedModelConfig saved = read_model_config(from, choices, options.overrides);
  const Llama shape = shape_of(saved.model, saved_plan(from, saved));
  const ModelWeights weights(from, named_weights(shape), form_of(shape->plan()));
  const Folding folding = folding_for(shape, saved.norm_scale_folded, options.fold_gains);
  const CopyPlan plan = plan_copy(shape, weights, folding, options.dtype);
  uint64_t bytes = 0;
  for (const TensorSpec& spec : plan.specs) bytes += spec.num_bytes();
  const TokenizerFiles tokenizer = read_tokenizer_files(from);
  CopiedModel copied{.description = {.model = saved.model,
                                     .tokens = saved.tokens,
                                     .dtype = dtype_name(plan.specs),
                                     .norm_scale_folded = !folded_factors(shape->plan()).empty(),
                                     .form = plan.form,
                                     .model_type = saved.model_type,
                                     .plan = plan_to_json(shape->plan())},
                     .source = saved,
                     .gains_folded = plan.form != form_of(shape->plan())};
  if (copied.gains_folded) forget_placement(copied.description);

  NewDirectory output(to);
  require_free_space(output.path(), bytes);
  const std::vector<WeightShard> shards = plan_shards(plan.specs, options.max_shard_bytes);
  for (const WeightShard& shard : shards)
    write_shard(output.path() / shard.file, shard, plan, weights, stop);
  if (shards.size() > 1) write_text_file(output.path() / kWeightsIndex, index_json(shards));
  write_hugging_face_files(output.path(), copied.description, tokenizer, choices);
  output.publish();
  return copied;
}

}  // namespace fathom
