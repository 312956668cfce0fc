#include <nlohmann/json.hpp>

#include "config/tree.h"
#include "config/tree_builder.h"
#include "fathom/base/error.h"
#include "fathom/base/internal/line_counter.h"

namespace fathom {
namespace {

/// Turns nlohmann's events into a tree; numbers keep their text, so nothing is rounded or wrapped.
class JsonHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonHandler(TreeBuilder& builder, const int& line) : builder_(builder), line_(line) {}

  bool null() override { return scalar(Node::Kind::kNull, ""); }
  bool boolean(bool value) override { return scalar(Node::Kind::kPlain, value ? "true" : "false"); }
  bool number_integer(int64_t value) override {
    return scalar(Node::Kind::kPlain, std::to_string(value));
  }
  bool number_unsigned(uint64_t value) override {
    return scalar(Node::Kind::kPlain, std::to_string(value));
  }
  bool number_float(double, const std::string& text) override {
    return scalar(Node::Kind::kPlain, text);
  }
  bool string(std::string& value) override { return scalar(Node::Kind::kText, value); }
  bool binary(nlohmann::json::binary_t&) override { return false; }  // no such thing in a text
  bool start_object(size_t) override { return begin(Node::Kind::kMap); }
  bool end_object() override { return end(); }
  bool start_array(size_t) override { return begin(Node::Kind::kList); }
  bool end_array() override { return end(); }
  bool key(std::string& name) override {
    builder_.key(name, line_);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) override {
    const std::string what = error.what();  // "[json.exception.parse_error.101] parse error at ..."
    const size_t start = what.find(": ");
    builder_.reject(
        line_, cat("not valid JSON: ", start == std::string::npos ? what : what.substr(start + 2)));
  }

 private:
  bool scalar(Node::Kind kind, const std::string& text) {
    builder_.scalar(kind, text, line_);
    return true;
  }
  bool begin(Node::Kind kind) {
    builder_.begin(kind, line_);
    return true;
  }
  bool end() {
    builder_.end();
    return true;
  }

  TreeBuilder& builder_;
  const int& line_;
};

Node parse(std::string_view text, std::string_view where, std::vector<std::string>* duplicates) {
  check_text(text, where);
  int line = 1;
  TreeBuilder builder(where, duplicates);
  JsonHandler handler(builder, line);
  nlohmann::json::sax_parse(LineCountingIterator(text.data(), &line),
                            LineCountingIterator(text.data() + text.size(), &line), &handler);
  return builder.take();
}

}  // namespace

Node parse_json_tree(std::string_view text, std::string_view where) {
  return parse(text, where, nullptr);
}

Node parse_json_tree_with_duplicates(std::string_view text, std::string_view where,
                                     std::vector<std::string>& duplicates) {
  return parse(text, where, &duplicates);
}

}  // namespace fathom
