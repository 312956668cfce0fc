#include "config/value.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/names.h"
#include "fathom/base/number.h"

namespace fathom {
namespace {

using Kind = Node::Kind;

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool is_one_of(const std::string& text, std::initializer_list<const char*> names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

/// A value as a message shows it.
std::string shown(const Node& node) {
  switch (node.kind) {
    case Kind::kMap:
      return "a section";
    case Kind::kList:
      return cat("a list of ", node.items.size());
    case Kind::kText:
      return cat("'", node.text, "'");
    case Kind::kPlain:
      return node.text;
    case Kind::kNull:
      return "empty";
  }
  return "";
}

std::string limits_text(const Limits& limits) {
  std::string text;
  if (limits.at_least) text += cat(", at least ", format_number(*limits.at_least));
  if (limits.above) text += cat(", above ", format_number(*limits.above));
  if (limits.at_most) text += cat(", at most ", format_number(*limits.at_most));
  if (limits.below) text += cat(", below ", format_number(*limits.below));
  return text;
}

bool within(const Limits& limits, long double value) {
  return !(limits.at_least && value < *limits.at_least) &&
         !(limits.above && value <= *limits.above) &&
         !(limits.at_most && value > *limits.at_most) && !(limits.below && value >= *limits.below);
}

/// Reads one field from one node.
class Assigner {
 public:
  Assigner(const Field& field, const std::string& where) : field_(field), where_(where) {}

  [[noreturn]] void reject(const Node& node, const std::string& advice) const {
    throw ConfigError(cat(where_, where_.empty() ? "" : ": ", field_.path, " is ", shown(node),
                          "; allowed: ", allowed_values(field_), advice.empty() ? "" : "; ",
                          advice));
  }

  bool boolean(const Node& node) const {
    if (node.kind == Kind::kPlain && node.text == "true") return true;
    if (node.kind == Kind::kPlain && node.text == "false") return false;
    const std::string meant = lower(node.text);
    if (is_one_of(meant, {"true", "yes", "on", "y", "1"})) reject(node, "write true");
    if (is_one_of(meant, {"false", "no", "off", "n", "0"})) reject(node, "write false");
    reject(node, "");
  }

  int64_t integer(const Node& node) const { return number<int64_t>(node, parse_integer); }
  double real(const Node& node) const { return number<double>(node, parse_number); }

  std::string text(const Node& node) const {
    if (node.kind != Kind::kText && node.kind != Kind::kPlain) reject(node, "");
    std::string ignored;
    const bool other_type =
        node.kind == Kind::kPlain && (is_one_of(lower(node.text), {"true", "false"}) ||
                                      parse_number(node.text, ignored).has_value());
    for (const std::string& name : names_in(node)) {
      if (is_allowed(name)) continue;
      std::string hint = did_you_mean(name, field_.allowed);
      Node quoted = node;
      quoted.kind = Kind::kText;
      reject(other_type ? node : quoted, hint.empty() ? hint : hint.substr(2));
    }
    if (other_type) reject(node, cat("write \"", node.text, "\" in quotes to mean the text"));
    return node.text;
  }

  template <typename Element>
  std::vector<Element> list(const Node& node,
                            Element (Assigner::*element)(const Node&) const) const {
    if (node.kind != Kind::kList) {
      const bool single = node.kind == Kind::kText || node.kind == Kind::kPlain;
      reject(node, single ? cat("write [", node.text, "]") : "");
    }
    std::vector<Element> values;
    for (const Node& item : node.items) values.push_back((this->*element)(item));
    return values;
  }

 private:
  bool is_allowed(const std::string& name) const {
    const auto& names = field_.allowed;
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
  }

  /// The names that a text chooses: itself, or the parts of a sequence.
  std::vector<std::string> names_in(const Node& node) const {
    if (!field_.sequence) return {node.text};
    try {
      return names_of(parse_sequence(node.text));
    } catch (const std::invalid_argument&) {
      return {node.text};  // which isn't allowed either
    }
  }

  template <typename Number, typename Parse>
  Number number(const Node& node, const Parse& parse) const {
    std::string advice;
    std::optional<Number> value;
    if (node.kind == Kind::kPlain || node.kind == Kind::kText) value = parse(node.text, advice);
    if (value && node.kind == Kind::kText) reject(node, "write it without quotes");
    if (!value) reject(node, node.kind == Kind::kText ? "" : advice);
    if (!within(field_.limits, static_cast<long double>(*value))) reject(node, "");
    return *value;
  }

  const Field& field_;
  const std::string& where_;
};

/// YAML 1.1 and 1.2 readers agree that these are texts: letters first, then letters, digits and
/// a few signs, and not one of the words for true, false and null.
bool is_plain_text(const std::string& text) {
  const auto is_letter = [](unsigned char c) { return std::isalpha(c) != 0 && c < 0x80; };
  const bool path = text.size() > 1 && (text[0] == '/' || text.starts_with("./"));
  if (text.empty() || !(is_letter(text[0]) || path)) return false;
  const bool plain_signs = std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == '/';
  });
  return plain_signs &&
         !is_one_of(lower(text), {"true", "false", "yes", "no", "on", "off", "y", "n", "null"});
}

std::string yaml_text(const std::string& text) {
  return is_plain_text(text) ? text : nlohmann::json(text).dump();
}

template <typename Value, typename Format>
std::string yaml_list(const std::vector<Value>& values, const Format& format) {
  std::vector<std::string> texts;
  for (const Value& value : values) texts.push_back(format(value));
  return "[" + join(texts) + "]";
}

}  // namespace

std::string allowed_values(const Field& field) {
  if (!field.allowed.empty())
    return join(field.allowed) + (field.sequence ? ", or a list such as 'post x3, pre x9'" : "");
  const std::string limits = limits_text(field.limits);
  return std::visit(Overloaded{
                        [](bool*) -> std::string { return "true or false"; },
                        [&](int64_t*) { return "a whole number" + limits; },
                        [&](std::optional<int64_t>*) { return "a whole number" + limits; },
                        [&](double*) { return "a number" + limits; },
                        [&](std::optional<double>*) { return "a number" + limits; },
                        [](std::string*) -> std::string { return "a text"; },
                        [](std::vector<std::string>*) -> std::string { return "a list of texts"; },
                        [&](std::vector<double>*) { return "a list of numbers" + limits; },
                    },
                    field.value);
}

void assign(const Field& field, const Node& node, const std::string& where) {
  const Assigner from(field, where);
  if (node.kind == Kind::kNull) from.reject(node, "or leave the key out to get the default");
  std::visit(
      Overloaded{
          [&](bool* value) { *value = from.boolean(node); },
          [&](int64_t* value) { *value = from.integer(node); },
          [&](std::optional<int64_t>* value) { *value = from.integer(node); },
          [&](double* value) { *value = from.real(node); },
          [&](std::optional<double>* value) { *value = from.real(node); },
          [&](std::string* value) { *value = from.text(node); },
          [&](std::vector<std::string>* value) { *value = from.list(node, &Assigner::text); },
          [&](std::vector<double>* value) { *value = from.list(node, &Assigner::real); },
      },
      field.value);
}

void assign_json(const Field& field, const nlohmann::ordered_json& json) {
  assign(field, parse_json_tree(json.dump(), field.path), "");
}

Node typed_value(const Field& field, const std::string& typed, const std::string& where) {
  const bool texts = std::holds_alternative<std::vector<std::string>*>(field.value);
  const bool list = texts || std::holds_alternative<std::vector<double>*>(field.value);
  if (list && typed.starts_with('[')) {
    try {
      return parse_json_tree(typed, where);
    } catch (const ConfigError&) {
      throw ConfigError(cat(where, ": ", field.path, " is ", typed,
                            "; allowed: a JSON list such as '[\"a\", \"b\"]', or one element"));
    }
  }
  Node node;
  node.kind =
      texts || std::holds_alternative<std::string*>(field.value) ? Kind::kText : Kind::kPlain;
  node.text = typed;
  if (!list) return node;
  Node one;
  one.kind = Kind::kList;
  one.items.push_back(std::move(node));
  return one;
}

bool is_unset(const Field& field) {
  return std::visit(Overloaded{
                        [](const std::optional<int64_t>* value) { return !value->has_value(); },
                        [](const std::optional<double>* value) { return !value->has_value(); },
                        [](const auto*) { return false; },
                    },
                    field.value);
}

void copy_value(const Field& from, const Field& to) {
  std::visit(
      [&](auto* source) { *std::get<std::remove_const_t<decltype(source)>>(to.value) = *source; },
      from.value);
}

std::string yaml_value(const Field& field) {
  return std::visit(
      Overloaded{
          [](const bool* value) -> std::string { return *value ? "true" : "false"; },
          [](const int64_t* value) { return std::to_string(*value); },
          [](const double* value) { return format_number(*value); },
          [](const std::string* value) { return yaml_text(*value); },
          [](const std::optional<int64_t>* value) {
            return *value ? std::to_string(**value) : std::string();
          },
          [](const std::optional<double>* value) {
            return *value ? format_number(**value) : std::string();
          },
          [](const std::vector<std::string>* value) { return yaml_list(*value, yaml_text); },
          [](const std::vector<double>* value) { return yaml_list(*value, format_number); },
      },
      field.value);
}

}  // namespace fathom
