#include "keys.h"

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>
#include <string_view>

#include "fathom/base/error.h"
#include "fathom/config/context.h"
#include "fields_json.h"
#include "rope_keys.h"

namespace fathom {
namespace {

/// Keys with the same name and meaning in ModelConfig.
constexpr std::array kSameKeys{"vocab_size",
                               "hidden_size",
                               "intermediate_size",
                               "num_hidden_layers",
                               "num_attention_heads",
                               "num_key_value_heads",
                               "head_dim",
                               "max_position_embeddings",
                               "rms_norm_eps",
                               "initializer_range",
                               "tie_word_embeddings",
                               "attention_bias"};
constexpr std::array kRequiredKeys{"vocab_size", "hidden_size", "intermediate_size",
                                   "num_hidden_layers", "num_attention_heads"};

/// What transformers takes for a key: a default holds where the key is missing, not where it is
/// null.
Json value_or_default(const Json& config, const Family& family, const std::string& key) {
  return config.contains(key) ? config.at(key) : value_of(family.defaults, key);
}

/// Refuses what would change the computation in a way that Fathom doesn't know.
void check_supported(const Json& config, const Family& family) {
  struct Neutral {
    const char* key;
    std::vector<Json> values;  // besides null
    const char* fix;
  };
  const std::vector<Neutral> rows = {
      {"hidden_act", {"silu", "swish"}, "only \"silu\" is supported"},
      {"is_causal", {true}, "only true is supported"},
      {"quantization_config",
       {},
       "quantized weights aren't supported: load the model in transformers, call its dequantize() "
       "and save_pretrained(DIR), and name DIR"},
      {"auto_map",
       {},
       "it has code of its own, which Fathom doesn't run: where transformers gives the same logits "
       "with trust_remote_code=False, remove the key"}};
  for (const Neutral& row : rows) {
    const Json value = value_of(config, row.key);
    if (!value.is_null() && std::count(row.values.begin(), row.values.end(), value) == 0)
      refuse(row.key, value, row.fix);
  }
  const Json mlp_bias = value_of(config, "mlp_bias");
  if (family.model_type == "llama" && !mlp_bias.is_null() && mlp_bias != false)
    refuse("mlp_bias", mlp_bias, "only false is supported");
}

/// transformers refuses null for keys that have a default.
void refuse_nulls(const Json& config, const Family& family) {
  std::vector<std::string_view> may_be_null(kRequiredKeys.begin(), kRequiredKeys.end());
  may_be_null.insert(may_be_null.end(), {"num_key_value_heads", "head_dim"});
  if (family.bias != BiasRule::by_key) may_be_null.emplace_back("attention_bias");
  std::vector<std::string> keys(kSameKeys.begin(), kSameKeys.end());
  keys.insert(keys.end(), {"hidden_act", "rope_theta"});
  if (family.model_type == "llama") keys.emplace_back("mlp_bias");
  for (const std::string& key : keys) {
    const bool may_be = std::find(may_be_null.begin(), may_be_null.end(), key) != may_be_null.end();
    if (!may_be && config.contains(key) && config.at(key).is_null())
      refuse(key, nullptr, "write its value, or leave the key out for transformers' default");
  }
}

const Family& check_architecture(const Json& config) {
  const Json type = value_of(config, "model_type");
  const Family* family = type.is_string() ? find_family(type.get<std::string>()) : nullptr;
  if (family == nullptr) {
    std::vector<std::string> names;
    for (const Family& row : families()) names.emplace_back(row.model_type);
    refuse("model_type", type, cat("supported: ", join(names)));
  }
  for (const Json& name : value_of(config, "architectures")) {
    // The release of the LayerNorm Scaling paper spells its own so.
    const bool released = family->model_type == "llama" && name == "LLaMAForCausalLM";
    if (name != family->architecture && !released)
      refuse("architectures", name,
             cat("with model_type ", family->model_type, " it must be ", family->architecture));
  }
  return *family;
}

/// Whether layers attend to a window only.
bool has_window(const Json& config, const Family& family, const Json& num_layers) {
  if (family.window == WindowRule::none ||
      value_or_default(config, family, "sliding_window").is_null())
    return false;
  if (family.window == WindowRule::by_key) return true;
  if (value_of(config, "use_sliding_window") != true) return false;
  const Json types = value_of(config, "layer_types");
  if (types.is_array()) return std::count(types.begin(), types.end(), "sliding_attention") > 0;
  return value_or_default(config, family, "max_window_layers") < num_layers;
}

/// Keys of the config that a causal language model's function doesn't depend on, whatever they say.
bool is_neutral(const std::string& key) {
  static const std::set<std::string_view> kKeys = {
      // Facts about the file, and about training and running the model.
      "architectures", "model_type", "dtype", "torch_dtype", "transformers_version", "use_cache",
      "initializer_range", "max_position_embeddings", "max_sequence_length", "pretraining_tp",
      "max_window_layers", "use_bfloat16", "torchscript", "tf_legacy_loss", "return_dict",
      "output_attentions", "output_hidden_states", "chunk_size_feed_forward", "pruned_heads",
      "is_encoder_decoder", "is_decoder", "add_cross_attention", "tie_encoder_decoder",
      "cross_attention_hidden_size", "id2label", "label2id", "problem_type", "finetuning_task",
      "task_specific_params", "tokenizer_class", "prefix", "unsloth_version", "unsloth_fixed",
      // Token ids and what generation_config.json has now.
      "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id",
      "unk_token_id", "decoder_start_token_id", "max_length", "min_length", "do_sample",
      "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "temperature", "top_k",
      "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
      "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores",
      "return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id",
      "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens",
      "begin_suppress_tokens"};
  return kKeys.contains(key) || key.starts_with("_");
}

/// Keys whose values are checked or read.
bool is_read(const std::string& key) {
  static const std::set<std::string_view> kKeys = {"hidden_act",
                                                   "is_causal",
                                                   "partial_rotary_factor",
                                                   "quantization_config",
                                                   "auto_map",
                                                   "mlp_bias",
                                                   "rope_theta",
                                                   "rope_scaling",
                                                   "rope_parameters",
                                                   "sliding_window",
                                                   "use_sliding_window",
                                                   "layer_types",
                                                   "attention_dropout",
                                                   "original_max_position_embeddings"};
  return kKeys.contains(key) ||
         std::find(kSameKeys.begin(), kSameKeys.end(), key) != kSameKeys.end();
}

/// Keys that say something, and that transformers' model of this family doesn't follow when it
/// computes.
std::vector<std::string> keys_without_effect(const Json& config, const Family& family) {
  std::vector<std::string> names;
  const auto add = [&](const char* key, bool says_something) {
    if (says_something && !value_of(config, key).is_null()) names.emplace_back(key);
  };
  add("attention_dropout", value_of(config, "attention_dropout") != 0);  // it is one of training
  add("sliding_window", !has_window(config, family, value_of(config, "num_hidden_layers")));
  add("use_sliding_window", family.window != WindowRule::where_switched_on &&
                                value_of(config, "use_sliding_window") != false);
  const Json types = value_of(config, "layer_types");
  add("layer_types", family.window != WindowRule::where_switched_on &&
                         std::any_of(types.begin(), types.end(),
                                     [](const Json& type) { return type != "full_attention"; }));
  add("mlp_bias", family.model_type != "llama" && value_of(config, "mlp_bias") != false);
  add("attention_bias",
      family.bias != BiasRule::by_key &&
          value_of(config, "attention_bias") != (family.bias == BiasRule::all_but_output));
  for (const auto& [key, value] : config.items()) {
    if (!value.is_null() && !is_read(key) && !is_neutral(key)) names.push_back(key);
  }
  return names;
}

}  // namespace

Json architecture_keys(const ModelConfig& model, const Family* family, const Choices& choices) {
  ModelConfig explicit_model = model;
  explicit_model.num_key_value_heads = model.key_value_heads();
  explicit_model.head_dim = model.head_size();
  explicit_model.rope_scaling.original_max_position_embeddings = model.original_context();
  Fields fields(choices);
  fields.section("model", explicit_model);
  const Json all = fields_to_json(fields, "model");
  Json keys = Json::object();
  for (const char* key : kSameKeys) keys[key] = all.at(key);
  keys["hidden_act"] = "silu";
  keys["mlp_bias"] = false;
  keys["attention_dropout"] = 0.0;
  keys["use_cache"] = true;

  constexpr std::string_view kRope = "model.rope_scaling.";
  Json rope = Json::object();
  for (const Field& field : fields.all()) {
    if (field.path.rfind(kRope, 0) != 0 || (field.has_effect && !field.has_effect())) continue;
    const std::string name = field.path.substr(kRope.size());
    if (all.at("rope_scaling").contains(name)) rope[name] = all.at("rope_scaling").at(name);
  }
  if (model.rope_scaling.rope_type == "dynamic") {  // transformers has one key for both
    keys["max_position_embeddings"] = model.original_context();
    rope.erase("original_max_position_embeddings");
  }
  keys["rope_theta"] = model.rope_theta;
  keys["rope_scaling"] = model.rope_scaling.rope_type == "default" ? Json() : rope;
  rope["rope_theta"] = model.rope_theta;
  keys["rope_parameters"] = rope;
  if (family == nullptr) return keys;
  if (family->bias != BiasRule::by_key) keys.erase("attention_bias");
  if (family->window != WindowRule::none) keys["sliding_window"] = nullptr;
  if (family->window == WindowRule::where_switched_on) keys["use_sliding_window"] = false;
  return keys;
}

ArchitectureModel from_architecture_keys(const Json& config, const Choices& choices) {
  const Family& family = check_architecture(config);
  check_supported(config, family);
  for (const char* key : kRequiredKeys) {
    if (value_of(config, key).is_null())
      throw std::invalid_argument(cat(key, " is missing; is it the whole config.json of a model?"));
  }
  refuse_nulls(config, family);
  Json model = Json::object();
  for (const char* key : kSameKeys) {
    const Json value = value_or_default(config, family, key);
    if (!value.is_null()) model[key] = value;
  }
  // The authors' release names it so.
  const Json longest = value_of(config, "max_sequence_length");
  if (!longest.is_null() && !config.contains("max_position_embeddings"))
    model["max_position_embeddings"] = longest;
  if (family.bias != BiasRule::by_key) {
    model["attention_bias"] = family.bias == BiasRule::all_but_output;
    if (family.bias == BiasRule::all_but_output) model["attention_output_bias"] = false;
  }
  ArchitectureModel result{.model = {}, .read_over = keys_without_effect(config, family)};
  RopeKeys rope = read_rope(config, value_of(model, "max_position_embeddings"), choices);
  model.update(rope.model);
  result.read_over.insert(result.read_over.end(), rope.read_over.begin(), rope.read_over.end());
  if (family.form == ModelForm::reordered) {
    model["norm"]["placement"] = "reordered";
  } else {
    model["qk_norm"] = family.form == ModelForm::pre_with_head_norms ? "head" : "none";
  }

  Fields fields(choices);
  fields.section("model", result.model);
  fields_from_json(model, fields, "model");
  return result;
}

void check_followed_keys(const Json& config, const Family& family, const ModelConfig& model) {
  check_supported(config, family);
  const Json window = value_or_default(config, family, "sliding_window");
  const bool on = has_window(config, family, model.num_hidden_layers);
  if (on && !(window.is_number_integer() && window >= longest_context(model)))
    refuse("sliding_window", window,
           cat("only full attention is supported, and contexts are up to ", longest_context(model),
               " tokens: within the window it is full; train-llm import DIR --output D "
               "model.max_position_embeddings=",
               window.dump(), " limits them to it"));
  if (family.window != WindowRule::where_switched_on) return;
  for (const Json& type : value_of(config, "layer_types")) {
    if (type != "full_attention" && !(on && type == "sliding_attention"))
      refuse("layer_types", type, "only full attention is supported");
  }
}

Json deciding_keys(const Json& config, const Choices& choices) {
  Json keys = Json::object();
  for (const std::string key : kSameKeys) {
    const Json value = value_of(config, key);
    const bool free =
        key == "vocab_size" || key == "initializer_range" || key == "max_position_embeddings";
    if (!free && !value.is_null()) keys[key] = value;
  }
  const bool has_rope =
      std::any_of(kRopeSections.begin(), kRopeSections.end(),
                  [&](const char* key) { return !value_of(config, key).is_null(); });
  if (!has_rope && value_of(config, "rope_theta").is_null()) return keys;
  const Json rope = read_rope(config, value_of(config, "max_position_embeddings"), choices).model;
  keys["rope_theta"] = rope.value("rope_theta", Json(ModelConfig().rope_theta));
  keys["rope_scaling.rope_type"] = "default";
  const Json scaling = value_of(rope, "rope_scaling");
  for (const auto& [name, value] : scaling.items()) keys["rope_scaling." + name] = value;
  return keys;
}

}  // namespace fathom
