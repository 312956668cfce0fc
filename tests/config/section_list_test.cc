// Keys that hold a list of sections.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "config/config_test_util.h"
#include "fathom/config/describe.h"
#include "fathom/config/load.h"

namespace fathom {
namespace {

using testing::HasSubstr;

class SectionList : public ConfigTest {
 protected:
  std::string config(const std::string& probes) const {
    return write("run.yaml", "extends: smoke\ndata: {validation: [v.txt]}\n" + probes);
  }
  std::string error_of(const std::string& probes, const std::vector<Override>& more = {}) const {
    try {
      load(config(probes), more);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(SectionList, IsReadFromYamlJsonAndTheCommandLine) {
  const std::string path =
      config("probes:\n  - name: variance\n    interval: 3\n  - {name: other, tokens: 7}\n");
  const LoadedConfig loaded = load(path);
  ASSERT_EQ(loaded.config.probes.size(), 2U);
  EXPECT_EQ(loaded.config.probes[0].interval, 3);
  EXPECT_EQ(loaded.config.probes[1].name, "other");
  EXPECT_EQ(loaded.config.probes[1].tokens, 7);
  EXPECT_EQ(loaded.config.probes[1].interval, ProbeConfig().interval);
  EXPECT_EQ(loaded.origins.at("probes"), path + ":3");
  EXPECT_EQ(loaded.origins.at("probes.0.interval"), path + ":5");
  EXPECT_EQ(loaded.origins.at("probes.1.interval"), "default");
  EXPECT_EQ(load(path, {{"probes.1.tokens", "9"}}).config.probes[1].tokens, 9);
  const auto typed = load(path, {{"probes", R"([{"name": "other", "interval": 5}])"}}).config;
  ASSERT_EQ(typed.probes.size(), 1U);  // it takes the place of the file's
  EXPECT_EQ(typed.probes[0].name, "other");
  const auto plain = load(path, {{"probes", R"([{"name": "other"}])"}}).config;
  EXPECT_EQ(plain.probes.at(0).interval, ProbeConfig().interval);  // and not the file's 3
  EXPECT_EQ(load(path, {{"probes", "[]"}}).config.probes.size(), 0U);
}

TEST_F(SectionList, IsDumpedAsItIsRead) {
  const RunConfig read =
      load(config("probes:\n  - {name: variance, tokens: 7}\n  - name: other\n")).config;
  const std::string yaml = dump_yaml(read, choices_);
  EXPECT_THAT(yaml, HasSubstr("\nprobes:\n  - name: variance\n    interval: 1000\n    tokens: 7\n"
                              "  - name: other\n    interval: 1000\n"));
  EXPECT_EQ(dump_yaml(load(write("dump.yaml", yaml)).config, choices_), yaml);
  EXPECT_EQ(effective_values(read, choices_).at("probes.1.name"), "other");
  const auto schema = json_schema(choices_)["properties"]["probes"];
  EXPECT_EQ(schema["type"], "array");
  EXPECT_EQ(schema["items"]["properties"]["name"]["enum"].size(), 2U);
  EXPECT_EQ(schema["items"]["additionalProperties"], false);
}

TEST_F(SectionList, IsRefusedByLine) {
  EXPECT_THAT(error_of("probes: 3\n"), HasSubstr("run.yaml:3: probes is a list of sections"));
  EXPECT_THAT(error_of("probes: {name: variance}\n"), HasSubstr("run.yaml:3: probes is a list"));
  EXPECT_THAT(error_of("probes:\n  - variance\n"),
              HasSubstr("run.yaml:4: probes.0 is not a section; write its keys (name, interval, "));
  EXPECT_THAT(error_of("probes:\n  - {nam: variance}\n"),
              HasSubstr("run.yaml:4: unknown key 'probes.0.nam'; did you mean 'probes.0.name'?"));
  EXPECT_THAT(error_of("probes:\n  - {name: varianz}\n"),
              HasSubstr("probes.0.name is 'varianz'; allowed: variance, other"));
  EXPECT_THAT(error_of("probes:\n  - {name: other, interval: 0}\n"),
              HasSubstr("probes.0.interval is 0; allowed: a whole number, at least 1"));
  EXPECT_THAT(error_of("probes:\n  - name: other\n  - name: other\n"),
              HasSubstr("run.yaml:5: probes.1.name is other, as probes.0.name is; keep one"));
  EXPECT_THAT(error_of("", {{"probes.0.name", "other"}}), HasSubstr("unknown key 'probes.0.name'"));
  EXPECT_THAT(error_of("", {{"probes", "other"}}), HasSubstr("command line"));
}

}  // namespace
}  // namespace fathom
