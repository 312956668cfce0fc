#include "fathom/io/model_files.h"

#include <algorithm>
#include <cstring>

#include "families.h"
#include "fathom/base/error.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/io/disk_room.h"
#include "fathom/io/plan_json.h"
#include "fathom/io/weight_files.h"
#include "new_directory.h"
#include "tensor_files.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

/// A directory's tensors, checked against a model's names and shapes.
class ModelWeights {
 public:
  ModelWeights(const fs::path& directory, const NamedTensors& expected, ModelForm form)
      : files_(directory) {
    for (const auto& [name, tensor] : files_.tensors())
      stored_[name_of_stored(form, name)] = tensor;
    drop_redundant(expected);
    require_same_tensors(stored_, expected, files_.path());
    for (const auto& [name, stored] : stored_) {
      const auto type = tensor_type(stored->dtype);
      if (!type || !at::isFloatingType(*type))
        throw CheckpointError(
            cat(files_.path().string(), ": tensor '", name, "' has type ", name_of(stored->dtype),
                "; weights are F32, BF16, F16 or F64: quantized ones aren't read"));
    }
  }

  const SafetensorsFile::Tensor& stored(const std::string& name) const { return *stored_.at(name); }
  torch::Tensor tensor(const std::string& name) const {
    return to_tensor(stored(name), name, files_.path());
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

/// What a model's weights are called, without their memory.
Llama shape_of(const ModelConfig& config, const ModelPlan& plan) {
  return Llama(config, plan, torch::TensorOptions(torch::kFloat32).device("meta"), torch::kFloat32);
}

/// How each tensor of a copy comes about.
struct CopyPlan {
  ModelForm form;
  std::vector<TensorSpec> specs;          // in the model's order, under the files' names
  std::map<std::string, double> factors;  // that gains are multiplied by
};

CopyPlan plan_copy(const Llama& shape, const ModelWeights& weights, bool folded,
                   const std::optional<torch::ScalarType>& dtype) {
  CopyPlan plan{.form = form_of(shape->plan()), .specs = {}, .factors = {}};
  const auto factors = folded_factors(shape->plan());
  for (const auto& entry : shape->named_parameters()) {
    const SafetensorsFile::Tensor& stored = weights.stored(entry.key());
    TensorType type = dtype ? file_type(*dtype) : stored.dtype;
    if (factors.count(entry.key()) != 0) type = TensorType::kF32;
    plan.specs.push_back({stored_name(plan.form, entry.key()), type, stored.shape});
  }
  if (!folded) plan.factors = factors;
  return plan;
}

void write_shard(const fs::path& path, const WeightShard& shard, const CopyPlan& plan,
                 const ModelWeights& weights, const StopFlag& stop) {
  SafetensorsWriter writer(path, shard.tensors);
  const std::vector<TensorSpec> order = writer.order();
  for (const TensorSpec& spec : order) {
    stop.check();
    const std::string name = name_of_stored(plan.form, spec.name);
    const auto factor = plan.factors.find(name);
    const SafetensorsFile::Tensor& stored = weights.stored(name);
    if (factor == plan.factors.end() && stored.dtype == spec.dtype) {
      writer.write(spec.name, stored.bytes);
      continue;
    }
    torch::Tensor tensor = weights.tensor(name);
    if (factor != plan.factors.end()) tensor = tensor.to(torch::kFloat32) * factor->second;
    tensor = tensor.to(*tensor_type(spec.dtype));
    writer.write(spec.name, {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()});
  }
  writer.publish();
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

ModelForm form_of(const ModelPlan& plan) {
  if (is_plain_llama(plan))
    return plan.layers.front().attention.query_norm == HeadNorm::head
               ? ModelForm::pre_with_head_norms
               : ModelForm::pre;
  const auto is_reordered = [](SitePlan site, HeadNorm head_norm) {
    SitePlan reordered;
    reordered.output_norm = NormKind::rms;
    reordered.query_norm = reordered.key_norm = head_norm;
    site.start = {};  // start values are gone once a model is trained
    return site == reordered;
  };
  for (const LayerPlan& layer : plan.layers) {
    if (!is_reordered(layer.attention, HeadNorm::full) ||
        !is_reordered(layer.feed_forward, HeadNorm::none))
      return ModelForm::other;
  }
  const bool plain_ends = plan.final_norm == NormKind::rms && !plan.embedding_norm.present() &&
                          !plan.embedding_gain.present();
  return plain_ends ? ModelForm::reordered : ModelForm::other;
}

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
    const torch::Tensor stored = weights.tensor(name);
    tensor.copy_(factor == factors.end() ? stored : stored.to(torch::kFloat32) / factor->second);
  }
}

fs::path find_model(const fs::path& directory, const StopFlag& stop, const Log& log) {
  require_directory(directory);
  if (has_weights(directory)) return directory;
  std::vector<SkippedCheckpoint> skipped;
  const auto newest = newest_valid(directory / "checkpoints", skipped, stop);
  for (const SkippedCheckpoint& bad : skipped)
    log.warn(cat("skipped ", bad.directory.string(), ": ", bad.reason));
  if (!newest)
    throw CheckpointError(cat(directory.string(), " holds neither ", kWeightsFile,
                              " nor checkpoints; name a run's directory or a model's"));
  return newest->directory;
}

ModelDescription copy_model(const fs::path& from, const fs::path& to, const CopyOptions& options,
                            const Choices& choices, const StopFlag& stop) {
  const SavedModelConfig saved = read_model_config(from, choices, options.overrides);
  const Llama shape = shape_of(saved.model, saved_plan(from, saved));
  const ModelForm form = form_of(shape->plan());
  const ModelWeights weights(from, named_weights(shape), form);
  const CopyPlan plan = plan_copy(shape, weights, saved.norm_scale_folded, options.dtype);
  uint64_t bytes = 0;
  for (const TensorSpec& spec : plan.specs) bytes += spec.num_bytes();
  const TokenizerFiles tokenizer = read_tokenizer_files(from);
  ModelDescription description{.model = saved.model,
                               .tokens = saved.tokens,
                               .dtype = dtype_name(plan.specs),
                               .norm_scale_folded = !folded_factors(shape->plan()).empty(),
                               .form = form,
                               .model_type = saved.model_type,
                               .plan = plan_to_json(shape->plan())};

  NewDirectory output(to);
  require_free_space(output.path(), bytes);
  const std::vector<WeightShard> shards = plan_shards(plan.specs, options.max_shard_bytes);
  for (const WeightShard& shard : shards)
    write_shard(output.path() / shard.file, shard, plan, weights, stop);
  if (shards.size() > 1) write_text_file(output.path() / kWeightsIndex, index_json(shards));
  write_hugging_face_files(output.path(), description, tokenizer, choices);
  output.publish();
  return description;
}

}  // namespace fathom
