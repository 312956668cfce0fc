#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <sstream>

#include "config/tree.h"
#include "config/tree_builder.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

/// Turns yaml-cpp's events into a tree. The event interface is used because the node interface
/// builds cyclic graphs from aliases and drops duplicate keys without a word.
class YamlHandler : public YAML::EventHandler {
 public:
  explicit YamlHandler(TreeBuilder& builder) : builder_(builder) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++num_documents_ > 1)
      builder_.reject(line(mark), "a second document starts; keep one config in a file");
  }
  void OnDocumentEnd() override {}

  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    builder_.reject(line(mark), cat("anchor '&", name, "': anchors and aliases are not supported; ",
                                    "write the value out, or use extends"));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    builder_.reject(line(mark), "aliases are not supported; write the value out, or use extends");
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    if (builder_.wants_key()) reject_key(mark);
    builder_.scalar(Node::Kind::kNull, "", line(mark));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    const bool plain = tag == "?";
    if (!plain) check_tag(mark, tag, "!");
    if (!builder_.wants_key()) {
      builder_.scalar(plain ? Node::Kind::kPlain : Node::Kind::kText, value, line(mark));
      return;
    }
    if (plain && value == "<<")
      builder_.reject(line(mark), "merge keys ('<<') are not supported; use extends");
    builder_.key(value, line(mark));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    start(Node::Kind::kList, mark, tag);
  }
  void OnSequenceEnd() override { builder_.end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    start(Node::Kind::kMap, mark, tag);
  }
  void OnMapEnd() override { builder_.end(); }

 private:
  static int line(const YAML::Mark& mark) { return mark.line + 1; }

  [[noreturn]] void reject_key(const YAML::Mark& mark) const {
    builder_.reject(line(mark), "a key is missing or is not a name");
  }

  void start(Node::Kind kind, const YAML::Mark& mark, const std::string& tag) {
    check_tag(mark, tag, "?");
    if (builder_.wants_key()) reject_key(mark);
    builder_.begin(kind, line(mark));
  }

  void check_tag(const YAML::Mark& mark, const std::string& tag, const std::string& none) const {
    if (!tag.empty() && tag != none)
      builder_.reject(line(mark), cat("tag '", tag, "': tags are not supported; remove it"));
  }

  TreeBuilder& builder_;
  int num_documents_ = 0;
};

Node parse(std::string_view text, std::string_view where, std::vector<std::string>* duplicates) {
  check_text(text, where);
  TreeBuilder builder(where, duplicates);
  YamlHandler handler(builder);
  // yaml-cpp 0.7 takes an open quote for closed where the file ends in a new line, and all below it
  // for a text; a comment at the end makes it notice.
  std::istringstream stream(cat(text, "\n#"));
  try {
    YAML::Parser parser(stream);
    // Twice, not "while": yaml-cpp 0.7 finds documents without end in the one-byte file ",".
    if (parser.HandleNextDocument(handler)) parser.HandleNextDocument(handler);
  } catch (const YAML::Exception& error) {
    builder.reject(error.mark.line + 1, cat("not valid YAML: ", error.msg));
  }
  return builder.take();
}

}  // namespace

Node parse_yaml_tree(std::string_view text, std::string_view where) {
  return parse(text, where, nullptr);
}

Node parse_yaml_tree_with_duplicates(std::string_view text, std::string_view where,
                                     std::vector<std::string>& duplicates) {
  return parse(text, where, &duplicates);
}

}  // namespace fathom
