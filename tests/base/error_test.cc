#include "fathom/base/error.h"

#include <gtest/gtest.h>

#include <csignal>

#include "fathom/base/hash.h"
#include "fathom/base/json.h"

namespace fathom {
namespace {

TEST(Error, EachTypeHasItsExitCode) {
  EXPECT_EQ(ConfigError("").exit_code(), 2);
  EXPECT_EQ(DataError("").exit_code(), 3);
  EXPECT_EQ(CheckpointError("").exit_code(), 4);
  EXPECT_EQ(TrainingError("").exit_code(), 5);
  EXPECT_EQ(DiskError("").exit_code(), 6);
  EXPECT_EQ(PeerError("").exit_code(), 7);
  EXPECT_EQ(BusyError("").exit_code(), 8);
  EXPECT_EQ(MemoryError("").exit_code(), 9);
  EXPECT_EQ(Interrupted(15).exit_code(), 143);
}

TEST(Error, AnInterruptionNamesTheSignal) {
  EXPECT_STREQ(Interrupted(SIGHUP).what(), "stopped by SIGHUP");
}

TEST(NearestName, FindsTheNameThatATypoMeant) {
  const std::vector<std::string> names = {"optimizer.lr", "train.max_steps",
                                          "model.norm.placement"};
  EXPECT_EQ(nearest_name("optimiser.lr", names), "optimizer.lr");
  EXPECT_EQ(nearest_name("train.max_step", names), "train.max_steps");
  EXPECT_EQ(nearest_name("lr", names), "optimizer.lr");
  EXPECT_EQ(nearest_name("zzzzzzzz", names), "");
  EXPECT_EQ(nearest_name("LNS", {"pre", "lns"}), "lns");
  EXPECT_EQ(nearest_name("bf16-mixed", {"bf16", "bf16_mixed"}), "bf16_mixed");
  EXPECT_EQ(nearest_name("epochs", {"device", "max_steps"}), "");
}

TEST(Sha256, MatchesTheStandardsExample) {  // FIPS 180-2, appendix B.1
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(ParseJson, RefusesDuplicateKeysAndNamesTheLine) {
  try {
    parse_json("{\n  \"a\": 1,\n  \"a\": 2\n}", "x.json");
    FAIL() << "a duplicate key was accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "x.json:3: duplicate key 'a'");
  }
}

TEST(ParseJson, RefusesDeepNestingAndTrailingText) {
  EXPECT_THROW(parse_json(std::string(100000, '['), "x"), std::invalid_argument);
  EXPECT_THROW(parse_json("{} {}", "x"), std::invalid_argument);
  EXPECT_THROW(parse_json("{\"a\": }", "x"), std::invalid_argument);
  EXPECT_THROW(parse_json(std::string_view("{}\0}", 4), "x"), std::invalid_argument);
  EXPECT_EQ(parse_json("{\"a\": {\"a\": [1, {\"b\": 2}]}, \"b\": 1}", "x").dump(),
            R"({"a":{"a":[1,{"b":2}]},"b":1})");
}

}  // namespace
}  // namespace fathom
