#include "config/tree_builder.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxKeys = 1000;  // of one section; bounds the search for duplicates

/// Bytes of the well-formed UTF-8 sequence at the front, or 0 (Unicode 15, table 3-7).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const int first = byte(0);
  const int second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && second < 0xA0;
    const bool surrogate = first == 0xED && second > 0x9F;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && second < 0x90;
    const bool beyond = first == 0xF4 && second > 0x8F;
    return continues(1) && continues(2) && continues(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7F;
}

std::string hex(char c) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%02x", static_cast<unsigned char>(c));
  return text;
}

}  // namespace

void check_text(std::string_view text, std::string_view where) {
  int line = 1;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text.substr(i));
    if (length == 0 || is_control(text[i]))
      throw ConfigError(cat(where, ":", line, ": byte ", hex(text[i]), " is not ",
                            length == 0 ? "UTF-8" : "a character of a text file",
                            "; save the file as plain UTF-8"));
    if (text[i] == '\n') ++line;
    i += length;
  }
}

void TreeBuilder::reject(int line, const std::string& reason) const {
  throw ConfigError(cat(where_, ":", line, ": ", reason));
}

bool TreeBuilder::wants_key() const {
  return !open_.empty() && open_.back()->kind == Node::Kind::kMap && !key_pending_;
}

std::string TreeBuilder::path_of(const std::string& key) const {
  std::string path;
  for (size_t i = 0; i + 1 < open_.size(); ++i) {
    if (open_[i]->kind == Node::Kind::kMap) path += open_[i]->entries.back().key + ".";
  }
  return path + key;
}

void TreeBuilder::key(const std::string& name, int line) {
  auto& entries = open_.back()->entries;
  const auto same = std::find_if(entries.begin(), entries.end(),
                                 [&](const Entry& entry) { return entry.key == name; });
  if (same != entries.end()) {
    const std::string reason = cat("duplicate key '", path_of(name), "', set before in line ",
                                   same->value.line, "; keep one");
    if (duplicates_ == nullptr) reject(line, reason);
    duplicates_->push_back(cat(where_, ":", line, ": ", reason));
  }
  if (entries.size() == kMaxKeys) reject(line, cat("more than ", kMaxKeys, " keys in a section"));
  entries.push_back({name, Node{}});
  entries.back().value.line = line;
  key_pending_ = true;
}

Node& TreeBuilder::place(Node node) {
  if (open_.empty()) return root_ = std::move(node);
  if (key_pending_) {
    key_pending_ = false;
    node.line = open_.back()->entries.back().value.line;  // a value's line is its key's
    return open_.back()->entries.back().value = std::move(node);
  }
  return open_.back()->items.emplace_back(std::move(node));
}

void TreeBuilder::begin(Node::Kind map_or_list, int line) {
  if (open_.size() >= kMaxDepth) reject(line, cat("more than ", kMaxDepth, " levels of nesting"));
  Node node;
  node.kind = map_or_list;
  node.line = line;
  open_.push_back(&place(std::move(node)));
}

void TreeBuilder::end() { open_.pop_back(); }

void TreeBuilder::scalar(Node::Kind kind, const std::string& text, int line) {
  Node node;
  node.kind = kind;
  node.line = line;
  node.text = text;
  place(std::move(node));
}

}  // namespace fathom
