#include "fathom/hugging_face/plan_json.h"

#include <cmath>
#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/base/names.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

template <typename Enum>
struct Name {
  std::string_view name;
  Enum value;
};

constexpr std::array kNormKinds = {
    Name<NormKind>{"none", NormKind::none}, Name<NormKind>{"rms", NormKind::rms},
    Name<NormKind>{"layer", NormKind::layer}, Name<NormKind>{"group", NormKind::group},
    Name<NormKind>{"dyt", NormKind::dyt}};
constexpr std::array kHeadNorms = {Name<HeadNorm>{"none", HeadNorm::none},
                                   Name<HeadNorm>{"head", HeadNorm::head},
                                   Name<HeadNorm>{"full", HeadNorm::full}};
constexpr std::array kGainKinds = {Name<GainKind>{"none", GainKind::none},
                                   Name<GainKind>{"scalar", GainKind::scalar},
                                   Name<GainKind>{"channel", GainKind::channel}};

template <typename Table, typename Enum>
std::string name_in(const Table& table, Enum value) {
  for (const auto& row : table) {
    if (row.value == value) return std::string(row.name);
  }
  throw std::logic_error("an enum value has no name");
}

template <typename Table>
auto value_in(const Table& table, const Json& json) {
  const std::string name = json.get<std::string>();
  for (const auto& row : table) {
    if (row.name == name) return row.value;
  }
  throw std::invalid_argument(cat("'", name, "'; allowed: ", join(names_of(table))));
}

Json to_json(double value) { return value; }
Json to_json(bool value) { return value; }
Json to_json(HeadNorm norm) { return name_in(kHeadNorms, norm); }
Json to_json(const NormPlan& norm) {
  const std::string kind = name_in(kNormKinds, norm.kind);
  if (norm.kind == NormKind::group) return {{"kind", kind}, {"groups", norm.groups}};
  if (norm.kind == NormKind::dyt) return {{"kind", kind}, {"alpha", norm.alpha}};
  return kind;
}
Json to_json(const GainPlan& gain) {
  return {{"kind", name_in(kGainKinds, gain.kind)}, {"start", gain.start}};
}
Json to_json(const ExponentPlan& exponent) {
  return {{"base", exponent.base}, {"start", exponent.start}};
}
Json to_json(const std::array<WeightStart, kWeightNames.size()>& starts) {
  Json json = Json::object();
  for (size_t i = 0; i < starts.size(); ++i) {
    if (starts[i] != WeightStart{})
      json[std::string(kWeightNames[i])] = {{"xavier", starts[i].xavier}, {"gain", starts[i].gain}};
  }
  return json;
}

double number(const Json& json) {
  if (!json.is_number()) throw std::invalid_argument(cat(json.dump(), "; allowed: a number"));
  return json.get<double>();
}

/// An object with these keys and no others.
const Json& object_of(const Json& json, std::initializer_list<const char*> keys) {
  if (!json.is_object() || json.size() != keys.size())
    throw std::invalid_argument(cat(json.dump(), "; it needs the keys ",
                                    join(std::vector<std::string>(keys.begin(), keys.end()))));
  for (const char* key : keys) json.at(key);
  return json;
}

void from_json(const Json& json, double& value) { value = number(json); }
void from_json(const Json& json, bool& value) { value = json.get<bool>(); }
void from_json(const Json& json, HeadNorm& norm) { norm = value_in(kHeadNorms, json); }
void from_json(const Json& json, NormPlan& norm) {
  norm = value_in(kNormKinds, json.is_object() ? json.at("kind") : json);
  if (norm.kind == NormKind::group)
    norm.groups = object_of(json, {"kind", "groups"}).at("groups").get<int64_t>();
  if (norm.kind == NormKind::dyt)
    norm.alpha = number(object_of(json, {"kind", "alpha"}).at("alpha"));
  if (norm.groups < 1) throw std::invalid_argument(cat(norm.groups, " groups"));
}
void from_json(const Json& json, GainPlan& gain) {
  object_of(json, {"kind", "start"});
  gain = {value_in(kGainKinds, json.at("kind")), number(json.at("start"))};
}
void from_json(const Json& json, ExponentPlan& exponent) {
  object_of(json, {"base", "start"});
  exponent = {true, number(json.at("base")), number(json.at("start"))};
}
void from_json(const Json& json, std::array<WeightStart, kWeightNames.size()>& starts) {
  for (const auto& [name, value] : json.items()) {
    const auto found = std::find(kWeightNames.begin(), kWeightNames.end(), name);
    if (found == kWeightNames.end())
      throw std::invalid_argument(cat("unknown matrix '", name, "'"));
    object_of(value, {"xavier", "gain"});
    starts[static_cast<size_t>(found - kWeightNames.begin())] = {value.at("xavier").get<bool>(),
                                                                 number(value.at("gain"))};
  }
}

Json site_json(const SitePlan& plan) {
  Json json = Json::object();
  std::vector<Json> bare;
  const SitePlan defaults;
  visit_fields(defaults,
               [&](std::string_view, const auto& field) { bare.push_back(to_json(field)); });
  size_t i = 0;
  visit_fields(plan, [&](std::string_view name, const auto& field) {
    const Json value = to_json(field);
    if (value != bare[i++]) json[std::string(name)] = value;
  });
  return json;
}

/// Reads one field. @throws std::invalid_argument that names it
template <typename Field>
void read_field(const Json& json, const std::string& name, Field& field) {
  const auto entry = json.find(name);
  if (entry == json.end()) return;
  try {
    from_json(*entry, field);
  } catch (const std::exception& error) {
    throw std::invalid_argument(cat(name, " is ", error.what()));
  }
}

void refuse_unknown(const Json& json, const std::vector<std::string>& known) {
  if (!json.is_object()) throw std::invalid_argument(cat(json.dump(), " isn't an object"));
  for (const auto& [key, value] : json.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      throw std::invalid_argument(cat("unknown field '", key, "'", did_you_mean(key, known)));
  }
}

SitePlan read_site(const Json& json) {
  SitePlan plan;
  std::vector<std::string> known;
  visit_fields(plan, [&](std::string_view name, auto&) { known.emplace_back(name); });
  refuse_unknown(json, known);
  visit_fields(plan, [&](std::string_view name, auto& field) {
    read_field(json, std::string(name), field);
  });
  return plan;
}

}  // namespace

Json plan_to_json(const ModelPlan& plan) {
  Json json = Json::object();
  if (plan.embedding_gain.present()) json["embedding_gain"] = to_json(plan.embedding_gain);
  if (plan.embedding_norm.present()) json["embedding_norm"] = to_json(plan.embedding_norm);
  json["final_norm"] = to_json(plan.final_norm);
  json["layers"] = Json::array();
  for (const LayerPlan& layer : plan.layers)
    json["layers"].push_back({{"attention", site_json(layer.attention)},
                              {"feed_forward", site_json(layer.feed_forward)}});
  return json;
}

ModelPlan plan_from_json(const Json& json) {
  refuse_unknown(json, {"embedding_gain", "embedding_norm", "final_norm", "layers"});
  ModelPlan plan;
  read_field(json, "embedding_gain", plan.embedding_gain);
  read_field(json, "embedding_norm", plan.embedding_norm);
  read_field(json, "final_norm", plan.final_norm);
  for (const Json& layer : json.at("layers")) {
    refuse_unknown(layer, {"attention", "feed_forward"});
    plan.layers.push_back({.attention = read_site(layer.at("attention")),
                           .feed_forward = read_site(layer.at("feed_forward"))});
  }
  return plan;
}

}  // namespace fathom
