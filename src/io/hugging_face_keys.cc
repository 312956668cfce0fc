#include "hugging_face_keys.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

#include "fathom/base/error.h"
#include "fields_json.h"

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

/// The value, with null for a key that isn't there.
Json value_of(const Json& object, const std::string& key) {
  const auto entry = object.find(key);
  return entry == object.end() ? Json() : *entry;
}

[[noreturn]] void refuse(const std::string& key, const Json& value, const std::string& reason) {
  throw std::invalid_argument(cat(key, " is ", value.dump().substr(0, 100), "; ", reason));
}

/// What transformers takes for a key: a default holds where the key is missing, not where it is
/// null.
Json value_or_default(const Json& config, const Family& family, const std::string& key) {
  return config.contains(key) ? config.at(key) : value_of(family.defaults, key);
}

/// Refuses what would change the computation in a way that Fathom doesn't know.
void check_supported(const Json& config, const Family& family) {
  struct Neutral {
    const char* key;
    Json value;  // besides null
  };
  const std::array<Neutral, 6> rows{{{"hidden_act", "silu"},
                                     {"mlp_bias", false},
                                     {"attention_dropout", 0.0},
                                     {"partial_rotary_factor", 1.0},
                                     {"quantization_config", nullptr},
                                     {"auto_map", nullptr}}};
  for (const Neutral& row : rows) {
    const Json value = value_of(config, row.key);
    if (!value.is_null() && value != row.value)
      refuse(row.key, value, cat("only ", row.value.dump(), " is supported"));
  }
  const Json bias = value_of(config, "attention_bias");
  const bool fixed = family.bias == BiasRule::all_but_output;
  if (family.bias != BiasRule::by_key && !bias.is_null() && bias != fixed)
    refuse("attention_bias", bias, cat("a ", family.model_type, " has no such choice"));
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

/// transformers 4 has rope_theta and rope_scaling, 5 has both in rope_parameters.
void read_rope(const Json& config, Json& model) {
  const Json theta = value_of(config, "rope_theta");
  if (!theta.is_null()) model["rope_theta"] = theta;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json rope = value_of(config, key);
    if (rope.is_null()) continue;
    if (!rope.is_object()) refuse(key, rope, "it must be an object");
    for (const auto& [name, value] : rope.items()) {
      if (value.is_null()) continue;
      if (name == "partial_rotary_factor") {
        if (value != 1.0) refuse(cat(key, ".", name), value, "only 1.0 is supported");
        continue;
      }
      const bool is_theta = name == "rope_theta";
      Json& section = is_theta ? model : model["rope_scaling"];
      const std::string ours = name == "type" ? "rope_type" : name;
      const Json known = value_of(section, ours);
      if (!known.is_null() && known != value)
        refuse(cat(key, ".", name), value, cat("elsewhere it is ", known.dump()));
      section[ours] = value;
    }
  }
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

ModelConfig from_architecture_keys(const Json& config, const Choices& choices) {
  const Family& family = check_architecture(config);
  check_supported(config, family);
  for (const char* key : kRequiredKeys) {
    if (value_of(config, key).is_null()) throw std::invalid_argument(cat(key, " is missing"));
  }
  Json model = Json::object();
  for (const char* key : kSameKeys) {
    const Json value = value_or_default(config, family, key);
    if (!value.is_null()) model[key] = value;
  }
  // The authors' release names it so.
  const Json longest = value_of(config, "max_sequence_length");
  if (!longest.is_null() && !config.contains("max_position_embeddings"))
    model["max_position_embeddings"] = longest;
  if (family.bias == BiasRule::all_but_output) {
    model["attention_bias"] = true;
    model["attention_output_bias"] = false;
  }
  read_rope(config, model);
  if (family.form == ModelForm::reordered) {
    model["norm"]["placement"] = "reordered";
  } else {
    model["qk_norm"] = family.form == ModelForm::pre_with_head_norms ? "head" : "none";
  }

  ModelConfig result;
  Fields fields(choices);
  fields.section("model", result);
  fields_from_json(model, fields, "model");
  return result;
}

void check_window(const Json& config, const Family& family, const ModelConfig& model) {
  const Json window = value_or_default(config, family, "sliding_window");
  const Json use = value_of(config, "use_sliding_window");
  const bool on = !window.is_null() && use != false &&
                  (family.window != WindowRule::where_switched_on || use == true);
  if (on && family.window == WindowRule::none)
    refuse("sliding_window", window, cat("a ", family.model_type, " has full attention"));
  if (on && !(window.is_number_integer() && window >= model.max_position_embeddings))
    refuse("sliding_window", window,
           cat("only full attention is supported, and contexts are up to max_position_embeddings (",
               model.max_position_embeddings,
               "): within the window it is full; train-llm import DIR --output D "
               "model.max_position_embeddings=",
               window.dump(), " limits them to it"));
  for (const Json& type : value_of(config, "layer_types")) {
    if (type != "full_attention" && !(on && type == "sliding_attention"))
      refuse("layer_types", type, "only full attention is supported");
  }
}

}  // namespace fathom
