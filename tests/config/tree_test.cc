#include "config/tree.h"

#include <gmock/gmock.h>

#include "config/config_test_util.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Kind = Node::Kind;

template <typename Parse>
std::string error_in(const Parse& parse, const std::string& text) {
  try {
    parse(text, "f");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

std::string yaml_error(const std::string& text) { return error_in(parse_yaml_tree, text); }
std::string json_error(const std::string& text) { return error_in(parse_json_tree, text); }

TEST(YamlTree, KeepsOrderLinesAndWhetherAScalarWasQuoted) {
  const Node root = parse_yaml_tree("b: 1e-3\na:\n  c: \"2\"\n  d: [x, 'y']\n\n  e:\n", "f");
  ASSERT_EQ(root.kind, Kind::kMap);
  EXPECT_EQ(root.entries[0].key, "b");
  EXPECT_EQ(root.entries[0].value.kind, Kind::kPlain);
  EXPECT_EQ(root.entries[0].value.text, "1e-3");
  const auto& inner = root.entries[1].value.entries;
  EXPECT_EQ(inner[0].value.kind, Kind::kText);
  EXPECT_EQ(inner[0].value.line, 3);
  EXPECT_EQ(inner[1].value.items[0].kind, Kind::kPlain);
  EXPECT_EQ(inner[1].value.items[1].kind, Kind::kText);
  EXPECT_EQ(inner[2].value.kind, Kind::kNull);
  EXPECT_EQ(inner[2].value.line, 6);
}

TEST(YamlTree, RefusesWhatMakesAFileMeanSomethingElseThanItSays) {
  EXPECT_EQ(yaml_error("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n"),
            "f:5: duplicate key 'b.c', set before in line 3; keep one");
  EXPECT_THAT(yaml_error("a: &x 1\n"), StartsWith("f:1: anchor '&x'"));
  EXPECT_THAT(yaml_error("a: &x\n"), StartsWith("f:1: anchor"));
  EXPECT_THAT(yaml_error("a: &x [*x]\n"), StartsWith("f:1: anchor"));
  EXPECT_THAT(yaml_error("a: 1\nb: *a\n"), StartsWith("f:2: "));
  EXPECT_THAT(yaml_error("a: !!int 1\n"), StartsWith("f:1: tag"));
  EXPECT_THAT(yaml_error("a: !mine {b: 1}\n"), StartsWith("f:1: tag"));
  EXPECT_THAT(yaml_error("<<: {b: 1}\n"), StartsWith("f:1: merge keys"));
  EXPECT_THAT(yaml_error("a: 1\n---\nb: 2\n"), HasSubstr("second document"));
  EXPECT_THAT(yaml_error("a: 1\n...\nb: 2\n"), HasSubstr("second document"));
  EXPECT_THAT(yaml_error("? [a]\n: 1\n"), StartsWith("f:1: a key"));
  EXPECT_THAT(yaml_error("? {a: 1}\n: 1\n"), StartsWith("f:1: a key"));
  EXPECT_THAT(yaml_error("~: 1\n"), StartsWith("f:1: a key"));
}

TEST(YamlTree, EndsOnHostileTexts) {
  EXPECT_NE(yaml_error(","), "accepted");  // documents without end in yaml-cpp 0.7
  EXPECT_NE(yaml_error("a: 1\n,"), "accepted");
  EXPECT_NE(yaml_error(std::string(100000, '[')), "accepted");
  EXPECT_THAT(yaml_error(std::string(100, '[') + std::string(100, ']')), HasSubstr("64 levels"));
  EXPECT_NE(yaml_error(std::string(100000, '[') + std::string(100000, ']')), "accepted");
  std::string nested;
  for (int i = 0; i < 70; ++i) nested += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  EXPECT_THAT(yaml_error(nested), HasSubstr("64 levels"));
  std::string many;
  for (int i = 0; i < 100000; ++i) many += "k" + std::to_string(i) + ": 1\n";
  EXPECT_THAT(yaml_error(many), StartsWith("f:1001: more than 1000 keys"));
  EXPECT_THAT(yaml_error("a: [1\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(yaml_error("a: \"x\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(yaml_error("a: 'x\nb: 2\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(yaml_error("a:\n\t- b\n  c: 1"), HasSubstr("not valid YAML"));
}

TEST(YamlTree, RefusesBytesThatAreNotText) {
  EXPECT_EQ(yaml_error("a: 1\nb: \xff\n"),
            "f:2: byte 0xff is not UTF-8; save the file as plain UTF-8");
  EXPECT_THAT(yaml_error("a: \xc0\xaf\n"), HasSubstr("UTF-8"));          // overlong
  EXPECT_THAT(yaml_error("a: \xed\xa0\x80\n"), HasSubstr("UTF-8"));      // surrogate
  EXPECT_THAT(yaml_error("a: \xf4\x90\x80\x80\n"), HasSubstr("UTF-8"));  // beyond U+10FFFF
  EXPECT_THAT(yaml_error("a: \xe2\x82"), HasSubstr("UTF-8"));            // cut short
  EXPECT_THAT(yaml_error(std::string("a: \0b", 5)), HasSubstr("0x00"));
  EXPECT_EQ(parse_yaml_tree("a: \u00e9\u20ac\U0001f600\n", "f").entries[0].value.text,
            "\u00e9\u20ac\U0001f600");
}

TEST(YamlTree, KeepsBlockTextsAsYamlDefinesThem) {
  const Node root = parse_yaml_tree("a: |\n  x\n  y\nb: >-\n  x\n  y", "f");
  EXPECT_EQ(root.entries[0].value.text, "x\ny\n");
  EXPECT_EQ(root.entries[1].value.text, "x y");
}

TEST(YamlTree, AcceptsByteOrderMarkWindowsLinesAndOneDocumentMarker) {
  for (const char* text :
       {"\xef\xbb\xbf"
        "a: 1\n",
        "a: 1\r\n", "---\na: 1\n", "a: 1\n...\n", "%YAML 1.2\n---\na: 1\n", "# x\na: 1 # y"}) {
    const Node root = parse_yaml_tree(text, "f");
    ASSERT_EQ(root.entries.size(), 1u) << text;
    EXPECT_EQ(root.entries[0].key, "a") << text;
    EXPECT_EQ(root.entries[0].value.text, "1") << text;
  }
}

TEST(JsonTree, KeepsNumbersAsWrittenAndTheirLines) {
  const Node root = parse_json_tree(
      "{\"a\": 1.0,\n \"b\": [1,\n  100000000000000000000\n ],\n \"c\": {\"d\": \"x\"},"
      "\n \"e\": null,\n \"f\": true\n}",
      "f");
  EXPECT_EQ(root.entries[0].value.text, "1.0");
  const Node& list = root.entries[1].value;
  EXPECT_EQ(list.line, 2);
  EXPECT_EQ(list.items[0].line, 2);
  EXPECT_EQ(list.items[1].line, 3);
  EXPECT_EQ(list.items[1].text, "100000000000000000000");
  EXPECT_EQ(root.entries[2].value.entries[0].value.kind, Kind::kText);
  EXPECT_EQ(root.entries[2].value.line, 5);
  EXPECT_EQ(root.entries[3].value.kind, Kind::kNull);
  EXPECT_EQ(root.entries[4].value.kind, Kind::kPlain);
  EXPECT_EQ(root.entries[4].value.line, 7);
}

TEST(JsonTree, RefusesDuplicatesDepthAndGarbageWithTheLine) {
  EXPECT_EQ(json_error("{\n\"a\": {\n\"b\": 1,\n\"b\": 2}}"),
            "f:4: duplicate key 'a.b', set before in line 3; keep one");
  EXPECT_THAT(json_error(std::string(100000, '[')), HasSubstr("64 levels"));
  EXPECT_THAT(json_error("{\"a\": 1,\n}"), StartsWith("f:2: not valid JSON"));
  EXPECT_THAT(json_error("{} {}"), StartsWith("f:1: not valid JSON"));
  EXPECT_THAT(json_error("{\"a\": NaN}"), StartsWith("f:1: not valid JSON"));
  EXPECT_THAT(json_error("{\"a\": 1e999}"), StartsWith("f:1: not valid JSON"));
  EXPECT_THAT(json_error(""), StartsWith("f:1: not valid JSON"));
  EXPECT_THAT(json_error("{\"a\": \"\xff\"}"), HasSubstr("UTF-8"));
}

}  // namespace
}  // namespace fathom
