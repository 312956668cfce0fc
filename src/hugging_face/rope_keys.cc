#include "rope_keys.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/config/model_config.h"

namespace fathom {
namespace {

constexpr const char* kOriginal = "original_max_position_embeddings";
constexpr const char* kPartial = "partial_rotary_factor";

/// The keys of all sections under one name each.
struct Gathered {
  Json theta;
  Json scaling = Json::object();
  std::map<std::string, std::string> paths = {};  // by name
};

void gather(const std::string& section, const Json& rope, Gathered& all) {
  for (const auto& [name, value] : rope.items()) {
    const std::string path = cat(section, ".", name);
    if (value.is_null() && name != "factor") continue;
    if (name == "type" && rope.contains("rope_type")) continue;
    if (value.is_object()) refuse(path, value, "only one RoPE for all layers is supported");
    const std::string ours = name == "type" ? "rope_type" : name;
    Json& entry = name == "rope_theta" ? all.theta : all.scaling[ours];
    if (!entry.is_null() && entry != value)
      refuse(path, value, cat("elsewhere it is ", entry.dump(), ": make them equal"));
    entry = value;
    all.paths[ours] = path;
  }
}

const Choice& type_of(const Gathered& all, const Choices& choices) {
  const Json type = all.scaling.value("rope_type", Json("default"));
  std::vector<std::string> names;
  for (const Choice& row : choices.at("model.rope_scaling.rope_type")) {
    if (type == row.name) return row;
    names.push_back(row.name);
  }
  refuse(all.paths.at("rope_type"), type,
         cat("it isn't supported, and another would be another model; supported: ", join(names)));
}

bool reads(const Choice& type, const std::string& key) {
  return std::find(type.options.begin(), type.options.end(), key) != type.options.end();
}

}  // namespace

Json value_of(const Json& object, const std::string& key) {
  const auto entry = object.find(key);
  return entry == object.end() ? Json() : *entry;
}

void refuse(const std::string& key, const Json& value, const std::string& reason) {
  throw std::invalid_argument(cat(key, " is ", value.dump().substr(0, 100), "; ", reason));
}

/// transformers' Llama and its kin rotate all channels by default RoPE, whatever this says; a
/// scaled RoPE follows it, and the sections' word before that of the config.
void check_partial(const Json& config, const Gathered& all, const Choice& type, RopeKeys& keys) {
  const Json beside = value_of(config, kPartial);
  const bool in_section = all.paths.contains(kPartial);
  const Json section = value_of(all.scaling, kPartial);
  if (type.name != "default") {
    const Json& value = in_section ? section : beside;
    if (!value.is_null() && value != 1.0)
      refuse(in_section ? all.paths.at(kPartial) : kPartial, value,
             cat("with rope_type ", type.name, " only 1.0 is supported"));
  } else if (in_section && section != 1.0) {
    keys.read_over.push_back(all.paths.at(kPartial));
  }
  if (!beside.is_null() && beside != 1.0) keys.read_over.emplace_back(kPartial);
}

RopeKeys read_rope(const Json& config, const Json& longest, const Choices& choices) {
  Gathered all{.theta = value_of(config, "rope_theta")};
  for (const char* section : kRopeSections) {
    const Json rope = value_of(config, section);
    if (!rope.is_null() && !rope.is_object()) refuse(section, rope, "it must be an object");
    gather(section, rope, all);
  }
  const Choice& type = type_of(all, choices);
  RopeKeys keys;
  Json scaling = Json::object();
  for (const auto& [name, value] : all.scaling.items()) {
    if (name == "rope_type" || reads(type, name)) {
      scaling[name] = value;
    } else if (name != kPartial) {
      keys.read_over.push_back(all.paths.at(name));
    }
  }
  if (reads(type, kOriginal)) {
    // Written down where it follows from max_position_embeddings, which may be raised. In
    // transformers a dynamic RoPE has no other, and for the others the key beside them wins.
    const Json context = longest.is_null() ? Json(ModelConfig().max_position_embeddings) : longest;
    const Json beside = type.name == "dynamic" ? context : value_of(config, kOriginal);
    if (type.name == "dynamic" && value_of(scaling, kOriginal) != beside &&
        scaling.contains(kOriginal))
      keys.read_over.push_back(all.paths.at(kOriginal));
    if (!beside.is_null()) scaling[kOriginal] = beside;
    if (!scaling.contains(kOriginal)) scaling[kOriginal] = context;
    if (type.name == "yarn" && value_of(all.scaling, "factor").is_null() &&
        scaling.contains("factor") && context.is_number() && scaling[kOriginal].is_number())
      scaling["factor"] = context.get<double>() / scaling[kOriginal].get<double>();
  }
  for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"}) {
    if (reads(type, key) && value_of(scaling, key).is_null())
      throw std::invalid_argument(cat("rope_scaling.", key, " is missing; rope_type ", type.name,
                                      " needs it: add what the model was trained with"));
  }
  check_partial(config, all, type, keys);
  if (!all.theta.is_null()) keys.model["rope_theta"] = all.theta;
  if (type.name != "default") keys.model["rope_scaling"] = scaling;
  return keys;
}

}  // namespace fathom
