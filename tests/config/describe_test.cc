#include "fathom/config/describe.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "config/config_test_util.h"
#include "fathom/config/presets.h"

namespace fathom {
namespace {

using testing::HasSubstr;
using testing::Not;

class Dump : public ConfigTest {
 protected:
  /// Loads a dump of `config`.
  RunConfig reload(const RunConfig& config) const {
    return load(write("dump.yaml", dump_yaml(config, choices_))).config;
  }
};

TEST_F(Dump, RoundTripsEveryPreset) {
  for (const std::string& name : preset_names()) {
    const RunConfig config = load(name).config;
    const std::string yaml = dump_yaml(config, choices_);
    EXPECT_EQ(dump_yaml(reload(config), choices_), yaml) << name;
  }
}

TEST_F(Dump, RoundTripsTextsThatYamlWouldTakeForSomethingElse) {
  for (const std::string& text : std::vector<std::string>{"",
                                                          "~",
                                                          "null",
                                                          "true",
                                                          "No",
                                                          "on",
                                                          "1",
                                                          "1.5",
                                                          "010",
                                                          "1e5",
                                                          ".5",
                                                          ".inf",
                                                          "0x1",
                                                          "-",
                                                          "- a",
                                                          "a: b",
                                                          "a #b",
                                                          "#a",
                                                          "'",
                                                          "\"",
                                                          "\\",
                                                          "\n",
                                                          "a\nb\n",
                                                          "\t",
                                                          " a",
                                                          "a ",
                                                          "[a]",
                                                          "{a: 1}",
                                                          "*a",
                                                          "&a",
                                                          "!a",
                                                          "%a",
                                                          "@a",
                                                          "`a",
                                                          "|",
                                                          ">",
                                                          ",",
                                                          "?",
                                                          "? a",
                                                          "---",
                                                          "...",
                                                          "a\r\nb",
                                                          "=",
                                                          "<<",
                                                          "2001-01-01",
                                                          "12:30:45",
                                                          "data/c4/*.json.gz",
                                                          "/abs/path-1.model",
                                                          "./x",
                                                          "../x",
                                                          "C:\\x",
                                                          "\u00e9t\u00e9",
                                                          "\u20ac",
                                                          "\U0001f600",
                                                          "\u0085",
                                                          "\u2028",
                                                          "\ufeffx",
                                                          "a/b c"}) {
    RunConfig config = load("smoke").config;
    config.data.tokenizer = text;
    config.data.train = {text, "plain", text};
    const RunConfig back = reload(config);
    EXPECT_EQ(back.data.tokenizer, text);
    EXPECT_EQ(back.data.train, config.data.train);
  }
}

TEST_F(Dump, RoundTripsNumbersExactly) {
  for (const double value :
       {0.1, 1.0 / 3, 5e-324, 2.2250738585072014e-308, 1e-8, 999.9999999999999}) {
    RunConfig config = load("smoke").config;
    config.optimizer.lr = value;
    config.optimizer.eps = value;
    EXPECT_EQ(reload(config).optimizer.lr, value);
    EXPECT_EQ(reload(config).optimizer.eps, value);
  }
  RunConfig config = load("smoke").config;
  config.train.seed = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(reload(config).train.seed, std::numeric_limits<int64_t>::max());
}

TEST_F(Dump, HoldsKeysThatAreSetAndHaveAnEffect) {
  const std::string yaml = dump_yaml(load("130m").config, choices_);
  EXPECT_THAT(yaml,
              HasSubstr("\n  norm:\n    placement: lns\n    scaling: none\n    exponent: 0.5\n"));
  EXPECT_THAT(yaml, HasSubstr("\n  eps: 1.0e-08\n"));
  EXPECT_THAT(yaml, HasSubstr("\n  betas: [0.9, 0.999]\n"));
  EXPECT_THAT(yaml, HasSubstr("\n  tokenizer: \"\"\n"));
  EXPECT_THAT(yaml, Not(HasSubstr("post_layers")));
  EXPECT_THAT(yaml, Not(HasSubstr("max_tokens")));
  EXPECT_THAT(yaml, Not(HasSubstr("decay_steps")));
}

TEST(Schema, DescribesEveryKeyWithTypeLimitsAndDefault) {
  const auto schema = json_schema(test_choices());
  const auto& optimizer = schema["properties"]["optimizer"];
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(optimizer["additionalProperties"], false);
  EXPECT_EQ(optimizer["properties"]["lr"]["type"], "number");
  EXPECT_EQ(optimizer["properties"]["lr"]["exclusiveMinimum"], 0);
  EXPECT_EQ(optimizer["properties"]["lr"]["maximum"], 1000);
  EXPECT_EQ(optimizer["properties"]["lr"]["default"], 1e-3);
  EXPECT_EQ(optimizer["properties"]["betas"]["items"]["exclusiveMaximum"], 1);
  const auto& placement =
      schema["properties"]["model"]["properties"]["norm"]["properties"]["placement"];
  EXPECT_EQ(placement["anyOf"][0]["enum"].size(), 7U);  // a name of test_choices(), or a list
  EXPECT_THAT(placement["anyOf"][1]["pattern"].get<std::string>(), HasSubstr("(pre|mix|"));
  const auto& final_norm =
      schema["properties"]["model"]["properties"]["norm"]["properties"]["final"];
  EXPECT_EQ(final_norm["enum"], (std::vector<std::string>{"auto", "on", "off"}));
  EXPECT_TRUE(schema["properties"].contains("extends"));
}

}  // namespace
}  // namespace fathom
