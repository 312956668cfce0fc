#include "fathom/config/describe.h"

#include <nlohmann/json.hpp>

#include "config/advice.h"
#include "config/value.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts;
  size_t start = 0;
  for (size_t dot; (dot = path.find('.', start)) != std::string::npos; start = dot + 1)
    parts.push_back(path.substr(start, dot - start));
  parts.push_back(path.substr(start));
  return parts;
}

/// "0" of "probes.0.name".
bool is_index(const std::string& part) {
  return part.find_first_not_of("0123456789") == std::string::npos;
}

std::string condition_text(const Field& field) {
  return field.condition.empty() ? "" : cat("; counts where ", field.condition);
}

Json bound(double value) {
  const auto whole = static_cast<int64_t>(value);  // every limit is far below 2^63
  return static_cast<double>(whole) == value ? Json(whole) : Json(value);
}

void add_limits(Json& schema, const Limits& limits) {
  if (limits.at_least) schema["minimum"] = bound(*limits.at_least);
  if (limits.above) schema["exclusiveMinimum"] = bound(*limits.above);
  if (limits.at_most) schema["maximum"] = bound(*limits.at_most);
  if (limits.below) schema["exclusiveMaximum"] = bound(*limits.below);
}

struct TypeSchema {
  Json operator()(const bool* value) const { return {{"type", "boolean"}, {"default", *value}}; }
  Json operator()(const int64_t* value) const { return {{"type", "integer"}, {"default", *value}}; }
  Json operator()(const double* value) const { return {{"type", "number"}, {"default", *value}}; }
  Json operator()(const std::string* value) const {
    return {{"type", "string"}, {"default", *value}};
  }
  Json operator()(const std::optional<int64_t>*) const { return {{"type", "integer"}}; }
  Json operator()(const std::optional<double>*) const { return {{"type", "number"}}; }
  Json operator()(const std::vector<std::string>* value) const {
    return {{"type", "array"}, {"items", {{"type", "string"}}}, {"default", *value}};
  }
  Json operator()(const std::vector<double>* value) const {
    return {{"type", "array"}, {"items", {{"type", "number"}}}, {"default", *value}};
  }
};

Json schema_of(const Field& field) {
  Json schema = std::visit(TypeSchema{}, field.value);
  if (field.sequence) {
    const std::string part = cat("\\s*(", join(field.allowed, "|"), ")\\s+x[1-9][0-9]{0,5}\\s*");
    schema["anyOf"] = {{{"enum", field.allowed}}, {{"pattern", cat("^", part, "(,", part, ")*$")}}};
  } else if (!field.allowed.empty()) {
    schema["enum"] = field.allowed;
  }
  add_limits(schema.contains("items") ? schema["items"] : schema, field.limits);
  schema["description"] = field.doc + condition_text(field);
  return schema;
}

Json empty_section() {
  return {{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
}

std::string description_of(const Field& field) {
  const std::string value = is_unset(field) ? "" : cat("=", yaml_value(field));
  return cat("  ", field.path, value, "\n      ", field.doc, "; ", allowed_values(field),
             condition_text(field), "\n");
}

}  // namespace

std::string dump_yaml(RunConfig config, const Choices& choices) {
  Fields fields(choices);
  config.declare(fields);
  std::string yaml;
  std::vector<std::string> open;
  for (const Field& field : fields.all()) {
    if (is_unset(field) || (field.has_effect && !field.has_effect())) continue;
    const std::vector<std::string> parts = split_path(field.path);
    std::string dash;  // before the first key of a list's section
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      if (i < open.size() && open[i] == parts[i]) continue;
      open.resize(i);
      open.push_back(parts[i]);
      if (is_index(parts[i])) {
        dash = "- ";
      } else {
        yaml += cat(std::string(2 * i, ' '), parts[i], ":\n");
      }
    }
    open.resize(parts.size() - 1);
    yaml += cat(std::string(2 * open.size() - dash.size(), ' '), dash, parts.back(), ": ",
                yaml_value(field), "\n");
  }
  return yaml;
}

std::map<std::string, std::string> effective_values(RunConfig config, const Choices& choices) {
  Fields fields(choices);
  config.declare(fields);
  std::map<std::string, std::string> values;
  for (const Field& field : fields.all()) {
    if (!is_unset(field) && (!field.has_effect || field.has_effect()))
      values[field.path] = yaml_value(field);
  }
  return values;
}

std::string describe_keys(const Choices& choices) {
  RunConfig config;
  Fields fields(choices);
  config.declare(fields);
  std::string text;
  for (const Field& field : fields.all()) text += description_of(field);
  for (const SectionList& list : fields.lists()) {
    text += cat("  ", list.path, "=[]\n      ", list.doc, "; a list of sections, each with\n");
    for (const Field& field : list.keys) text += description_of(field);
  }
  return text;
}

Json json_schema(const Choices& choices) {
  RunConfig config;
  Fields fields(choices);
  config.declare(fields);
  Json root = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
               {"title", "Fathom run configuration"}};
  root.update(empty_section());
  const Json name = {{"type", "string"}, {"minLength", 1}};
  root["properties"]["extends"] = {
      {"description", "a file beside this one, a preset's name, or a list of them; later wins"},
      {"anyOf", {name, {{"type", "array"}, {"items", name}}}}};
  for (const Field& field : fields.all()) {
    const std::vector<std::string> parts = split_path(field.path);
    Json* section = &root;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      Json& properties = (*section)["properties"];
      if (!properties.contains(parts[i])) properties[parts[i]] = empty_section();
      section = &properties[parts[i]];
    }
    (*section)["properties"][parts.back()] = schema_of(field);
  }
  for (const SectionList& list : fields.lists()) {
    Json section = empty_section();
    for (const Field& field : list.keys)
      section["properties"][split_path(field.path).back()] = schema_of(field);
    root["properties"][list.path] = {
        {"type", "array"}, {"items", section}, {"description", list.doc}};
  }
  return root;
}

std::vector<std::string> key_paths(const Choices& choices) {
  RunConfig config;
  Fields fields(choices);
  config.declare(fields);
  std::vector<std::string> paths;
  for (const Field& field : fields.all()) paths.push_back(field.path);
  for (const SectionList& list : fields.lists()) paths.push_back(list.path);
  return paths;
}

KeyAdvice key_advice(const std::string& name, const Choices& choices) {
  RunConfig config;
  Fields fields(choices);
  config.declare(fields);
  return advice_for(name, fields);
}

bool is_boolean_key(const std::string& path, const Choices& choices) {
  RunConfig config;
  Fields fields(choices);
  config.declare(fields);
  const Field* field = fields.find(path);
  return field != nullptr && std::holds_alternative<bool*>(field->value);
}

}  // namespace fathom
