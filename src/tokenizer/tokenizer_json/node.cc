#include "tokenizer/tokenizer_json/node.h"

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom::tokenizer_json {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;
constexpr size_t kMaxShown = 100;  // bytes of a value in a message

}  // namespace

std::string Node::shown() const {
  if (value_->is_array()) return "a list";
  // What a pattern is, of {"Regex": "..."}.
  if (value_->is_object() && (value_->size() != 1 || value_->begin()->is_structured()))
    return "an object";
  const std::string text = value_->dump(-1, ' ', /*ensure_ascii=*/true);
  return text.size() > kMaxShown ? text.substr(0, kMaxShown) + "..." : text;
}

Node Node::at(const char* key) const {
  if (!value_->is_object()) reject("an object");
  const auto found = value_->find(key);
  if (found == value_->end())
    throw std::invalid_argument(cat(place_.empty() ? "it" : place_, " has no \"", key, "\""));
  return {*found, place_.empty() ? key : cat(place_, ".", key)};
}

std::optional<Node> Node::find(const char* key) const {
  if (!value_->is_object()) reject("an object");
  const auto found = value_->find(key);
  return found == value_->end() || found->is_null() ? std::nullopt : std::optional(at(key));
}

std::vector<Node> Node::items() const {
  if (!value_->is_array()) reject("a list");
  std::vector<Node> items;
  items.reserve(value_->size());
  for (size_t i = 0; i < value_->size(); ++i)
    items.emplace_back((*value_)[i], cat(place_, "[", i, "]"));
  return items;
}

std::string Node::text() const {
  if (!value_->is_string()) reject("a text");
  return value_->get<std::string>();
}

bool Node::boolean() const {
  if (!value_->is_boolean()) reject("true, false");
  return value_->get<bool>();
}

int64_t Node::integer(int64_t at_least, int64_t at_most) const {
  const bool fits = value_->is_number_integer() &&
                    (!value_->is_number_unsigned() || value_->get<uint64_t>() <= INT64_MAX);
  const int64_t number = fits ? value_->get<int64_t>() : 0;
  if (!fits || number < at_least || number > at_most)
    reject(cat("from ", at_least, " to ", at_most));
  return number;
}

std::string Node::text(const char* key, const std::string& fallback) const {
  const auto found = find(key);
  return found ? found->text() : fallback;
}

bool Node::boolean(const char* key, bool fallback) const {
  const auto found = find(key);
  return found ? found->boolean() : fallback;
}

void Node::allow_only(std::initializer_list<std::string_view> keys) const {
  for (const auto& [key, ignored] : value_->items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      throw Unsupported(cat(place_, ".", key.substr(0, kMaxShown)));
  }
}

void Node::reject(std::string_view allowed) const {
  throw std::invalid_argument(cat(place_, " is ", shown(), "; allowed: ", allowed));
}

void Node::refuse() const { throw Unsupported(cat(place_, " = ", shown())); }

json parse(std::string_view text) {
  // nlohmann takes a NUL for the end of the text.
  if (text.find('\0') != std::string_view::npos) throw std::invalid_argument("it holds a NUL");
  const auto limit_depth = [](int depth, json::parse_event_t, json&) {
    if (depth >= kMaxDepth)
      throw std::invalid_argument(cat("more than ", kMaxDepth, " levels of nesting"));
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), limit_depth);
  } catch (const json::exception& error) {
    throw std::invalid_argument(cat("isn't JSON: ", error.what()));
  }
}

}  // namespace fathom::tokenizer_json
