// train.init_from: the model of a run is that of a directory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/config_test_util.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

using testing::HasSubstr;

StartingModel lns_of_64(const std::string& directory) {
  StartingModel start;
  start.model.hidden_size = 64;
  start.model.num_attention_heads = 4;
  start.model.norm.placement = "lns";
  start.model.norm.exponent = 0.25;
  start.tokenizer = directory + "/tokenizer.model";
  return start;
}

class InitFrom : public ConfigTest {
 protected:
  LoadedConfig load(std::vector<Override> overrides) {
    overrides.push_back({"train.init_from", "DIR"});
    const std::string path = write("run.yaml", "train: {max_steps: 10, out_dir: out}\n");
    return load_run_config(path, overrides, choices_, lns_of_64);
  }
  std::string refusal(const std::vector<Override>& overrides) {
    try {
      load(overrides);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "(nothing was thrown)";
  }
};

TEST_F(InitFrom, BringsModelAndTokenizerWithTheirOrigin) {
  const LoadedConfig loaded = load({});
  EXPECT_EQ(loaded.config.model.hidden_size, 64);
  EXPECT_EQ(loaded.config.model.norm.placement, "lns");
  EXPECT_EQ(loaded.config.model.norm.exponent, 0.25);
  EXPECT_EQ(loaded.config.data.tokenizer, "DIR/tokenizer.model");
  EXPECT_EQ(loaded.origins.at("model.hidden_size"), "DIR");
  EXPECT_EQ(loaded.origins.at("train.out_dir"), (folder_ / "run.yaml").string() + ":1");
}

TEST_F(InitFrom, RefusesAKeyThatMakesAnotherModel) {
  EXPECT_THAT(refusal({{"model.hidden_size", "128"}}),
              HasSubstr("command line: model.hidden_size is 128, but the model of train.init_from "
                        "(DIR) has 64; leave the key (or the preset) out"));
  EXPECT_THAT(refusal({{"model.norm.placement", "pre"}}), HasSubstr("has lns"));
  EXPECT_THAT(refusal({{"model.num_key_value_heads", "2"}}), HasSubstr("has its default"));
  EXPECT_EQ(refusal({{"model.hidden_size", "64"}, {"model.norm.exponent", "0.25"}}),
            "(nothing was thrown)");
}

TEST_F(InitFrom, LetsTheContextGrow) {
  const LoadedConfig loaded = load({{"model.max_position_embeddings", "9999"},
                                    {"model.rope_scaling.rope_type", "llama3"},
                                    {"model.rope_scaling.factor", "4"}});
  EXPECT_EQ(loaded.config.model.max_position_embeddings, 9999);
  EXPECT_EQ(loaded.config.model.rope_scaling.factor, 4.0);
}

}  // namespace
}  // namespace fathom
