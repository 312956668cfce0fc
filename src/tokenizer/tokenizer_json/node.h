// Typed access to a tokenizer.json, with the place of each value for messages.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fathom::tokenizer_json {

/// A tokenizer that is sound, but asks for what Fathom doesn't have. The message names it.
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A value and where it stands ("model.vocab"). Sorted, not in order: a vocabulary has 100,000 keys
/// and more. What isn't as it must be throws std::invalid_argument with the place, the value and
/// what is allowed.
class Node {
 public:
  Node(const nlohmann::json& value, std::string place) : value_(&value), place_(std::move(place)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& place() const { return place_; }
  /// The value for a message: ASCII, cut where it is long.
  std::string shown() const;

  Node at(const char* key) const;
  /// Nothing for a key that is missing or null.
  std::optional<Node> find(const char* key) const;
  /// The elements of an array.
  std::vector<Node> items() const;

  std::string text() const;
  bool boolean() const;
  int64_t integer(int64_t at_least, int64_t at_most) const;
  std::string text(const char* key, const std::string& fallback) const;
  bool boolean(const char* key, bool fallback) const;

  /// The object's "type".
  std::string type() const { return at("type").text(); }
  /// @throws Unsupported for a key that is none of these
  void allow_only(std::initializer_list<std::string_view> keys) const;
  [[noreturn]] void reject(std::string_view allowed) const;
  [[noreturn]] void refuse() const;

 private:
  const nlohmann::json* value_;
  std::string place_;
};

/// @throws std::invalid_argument if the text isn't JSON or has more than 64 levels
nlohmann::json parse(std::string_view text);

}  // namespace fathom::tokenizer_json
