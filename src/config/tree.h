// YAML or JSON text as one tree of nodes, each with its line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct Entry;

/// A value in a config file.
struct Node {
  enum class Kind {
    kMap,
    kList,
    kText,   ///< quoted in the file, so never a number
    kPlain,  ///< as it stands: a number, true, false, or an unquoted text
    kNull,
  };
  Kind kind = Kind::kNull;
  int line = 0;
  std::string text;            ///< of kText and kPlain
  std::vector<Entry> entries;  ///< of kMap, in the file's order
  std::vector<Node> items;     ///< of kList
};

/// A key of a map and its value.
struct Entry {
  std::string key;
  Node value;
};

/// Parses one YAML 1.2 document.
/// @param where names the text in messages (a path)
/// @throws ConfigError "where:line: ..." for anchors, aliases, tags, merge keys, duplicate keys,
/// keys that aren't names, a second document, more than 64 levels, bytes that aren't UTF-8 text
Node parse_yaml_tree(std::string_view text, std::string_view where);

/// Parses a JSON text. @throws ConfigError likewise
Node parse_json_tree(std::string_view text, std::string_view where);

/// The same, but duplicate keys are all kept.
/// @param duplicates gets what would be thrown for them
Node parse_yaml_tree_with_duplicates(std::string_view text, std::string_view where,
                                     std::vector<std::string>& duplicates);
Node parse_json_tree_with_duplicates(std::string_view text, std::string_view where,
                                     std::vector<std::string>& duplicates);

}  // namespace fathom
