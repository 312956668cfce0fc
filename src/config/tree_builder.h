// What the two parsers share: events in, a checked tree out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/tree.h"

namespace fathom {

/// Builds a tree from the events of a parser.
/// All members throw ConfigError "where:line: ..." for duplicate keys and more than 64 levels.
class TreeBuilder {
 public:
  /// @param duplicates gets what is to be said of duplicate keys instead; null: it is thrown
  TreeBuilder(std::string_view where, std::vector<std::string>* duplicates)
      : where_(where), duplicates_(duplicates) {}

  void begin(Node::Kind map_or_list, int line);
  void end();
  /// The next value belongs to this key.
  void key(const std::string& name, int line);
  void scalar(Node::Kind kind, const std::string& text, int line);
  /// Whether a map waits for a key.
  bool wants_key() const;

  /// The finished tree.
  Node take() { return std::move(root_); }
  [[noreturn]] void reject(int line, const std::string& reason) const;

 private:
  Node& place(Node node);
  std::string path_of(const std::string& key) const;

  std::string where_;
  std::vector<std::string>* duplicates_;
  Node root_;
  std::vector<Node*> open_;  ///< the maps and lists around the next value
  bool key_pending_ = false;
};

/// @throws ConfigError "where:line: ..." unless the text is UTF-8 without control characters
void check_text(std::string_view text, std::string_view where);

}  // namespace fathom
