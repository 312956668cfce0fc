#include "fathom/hugging_face/weight_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/json.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

using testing::HasSubstr;

/// A file with one float for each name.
void write_weights(const std::filesystem::path& path, const std::vector<std::string>& names) {
  std::vector<TensorSpec> specs;
  for (const std::string& name : names) specs.push_back({name, TensorType::kF32, {1}});
  SafetensorsWriter writer(path, specs);
  const std::vector<std::byte> zero(4);
  for (const std::string& name : names) writer.write(name, zero);
  writer.publish();
}

/// Two shards, "a" and "b" in the first and "c" in the second, and an index that a test changes.
class ShardedWeights : public testing::Test {
 protected:
  ShardedWeights() {
    write_weights(directory_ / "one.safetensors", {"a", "b"});
    write_weights(directory_ / "two.safetensors", {"c"});
    map_ = {{"a", "one.safetensors"}, {"b", "one.safetensors"}, {"c", "two.safetensors"}};
  }

  WeightFiles open() {
    write_file(directory_ / kWeightsIndex, Json({{"weight_map", map_}}).dump());
    return WeightFiles(directory_.path());
  }
  std::string refusal() {
    return message_of<CheckpointError>([&] { open(); });
  }

  const TemporaryDirectory directory_;
  Json map_;
};

TEST_F(ShardedWeights, AreReadAsOne) {
  const WeightFiles files = open();
  EXPECT_EQ(files.tensors().size(), 3U);
  EXPECT_EQ(files.tensors().at("c")->shape, std::vector<int64_t>{1});
}

TEST_F(ShardedWeights, StayInTheirDirectory) {
  for (const std::string name :
       {"../one.safetensors", "/etc/passwd", "x/one.safetensors", ".safetensors", "", "one",
        "..safetensors", "one.safetensors\n", "one safetensors"}) {
    map_["a"] = name;
    EXPECT_THAT(refusal(), HasSubstr("allowed: a name that ends in .safetensors, without a folder"))
        << name;
  }
  map_["a"] = std::string("one.safetensors\0.safetensors", 28);
  EXPECT_THAT(refusal(), HasSubstr("allowed: a name"));
  map_["a"] = 7;
  EXPECT_THAT(refusal(), HasSubstr("tensor 'a' has no file name"));
}

TEST_F(ShardedWeights, HoldEachTensorOnceAndWhereTheIndexSays) {
  map_["a"] = "two.safetensors";
  EXPECT_THAT(refusal(), HasSubstr("tensor 'a' is in one.safetensors, but is listed in two"));
  map_["a"] = "one.safetensors";
  map_["d"] = "two.safetensors";
  EXPECT_THAT(refusal(), HasSubstr("tensor 'd' is listed, but isn't in two.safetensors"));
  map_.erase("d");
  map_.erase("b");
  EXPECT_THAT(refusal(), HasSubstr("tensor 'b' is in one.safetensors, but isn't listed"));
  map_ = Json::object();
  EXPECT_THAT(refusal(), HasSubstr("has no weight_map"));
}

TEST_F(ShardedWeights, MayNotBeMissingSpecialOrPickled) {
  map_["c"] = "three.safetensors";
  EXPECT_THAT(refusal(),
              HasSubstr("three.safetensors is listed, but isn't there; download it, too"));
  ASSERT_EQ(::mkfifo((directory_ / "three.safetensors").c_str(), 0600), 0);
  EXPECT_THAT(message_of<DiskError>([&] { open(); }), HasSubstr("not a regular file"));
  map_["c"] = "pytorch_model-00001.bin";
  EXPECT_THAT(refusal(), HasSubstr(".bin files are pickled"));
}

TEST_F(ShardedWeights, MayNotLieBesideASingleFile) {
  write_weights(directory_ / kWeightsFile, {"a"});
  EXPECT_THAT(refusal(),
              HasSubstr("holds both model.safetensors and model.safetensors.index.json"));
}

TEST(HasWeights, RefusesPickledOnesByName) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(has_weights(directory.path()));
  EXPECT_THAT(message_of<CheckpointError>([&] { WeightFiles(directory.path()); }),
              HasSubstr("holds neither model.safetensors nor model.safetensors.index.json"));
  write_file(directory / "training_args.bin", "x");  // pickled, but no weights
  EXPECT_FALSE(has_weights(directory.path()));
  write_file(directory / "consolidated.00.pth", "x");
  EXPECT_THAT(message_of<CheckpointError>([&] { has_weights(directory.path()); }),
              HasSubstr("consolidated.00.pth: .pth files are pickled"));
  write_weights(directory / kWeightsFile, {"a"});
  EXPECT_TRUE(has_weights(directory.path()));
}

TEST(HasWeights, SaysWhatLiesThereInstead) {
  const auto beside = [](const char* file) {
    const TemporaryDirectory directory;
    write_file(directory / file, "x");
    return no_weights(directory.path());
  };
  EXPECT_THAT(beside("adapter_config.json"), HasSubstr("merge_and_unload()"));
  EXPECT_THAT(beside("model-Q4_K_M.gguf"), HasSubstr("gguf_file=NAME"));
  EXPECT_THAT(beside("model-00001-of-00002.safetensors"), HasSubstr("index.json, too"));
  EXPECT_THAT(no_weights("/nowhere"), HasSubstr("/nowhere is no directory"));
}

TEST(HasWeights, TellsTheCommandThatConvertsPickledOnes) {
  const TemporaryDirectory directory;
  write_file(directory / "pytorch_model.bin", "x");
  const auto message = [&] {
    return message_of<CheckpointError>([&] { has_weights(directory.path()); });
  };
  EXPECT_THAT(message(), HasSubstr("torch.load('" + (directory / "pytorch_model.bin").string()));
  write_file(directory / "config.json", "{}");
  EXPECT_THAT(message(), HasSubstr("M.from_pretrained('" + directory.path().string()));
}

TEST(PlanShards, FillsFilesInOrderAndKeepsATensorWhole) {
  const auto tensor = [](const char* name, int64_t floats) {
    return TensorSpec{name, TensorType::kF32, {floats}};
  };
  const std::vector<TensorSpec> tensors = {tensor("a", 10), tensor("b", 15), tensor("c", 1),
                                           tensor("d", 100), tensor("e", 1)};
  const std::vector<WeightShard> shards = plan_shards(tensors, 100);
  ASSERT_EQ(shards.size(), 4U);
  EXPECT_EQ(shards[0].file, "model-00001-of-00004.safetensors");
  EXPECT_EQ(shards[0].tensors.size(), 2U);  // 100 bytes
  EXPECT_EQ(shards[2].tensors[0].name, "d");
  const Json index = Json::parse(index_json(shards));
  EXPECT_EQ(index["metadata"]["total_size"], 127 * 4);
  EXPECT_EQ(index["weight_map"]["e"], "model-00004-of-00004.safetensors");
  EXPECT_EQ(plan_shards(tensors, 1000).at(0).file, kWeightsFile);
}

}  // namespace
}  // namespace fathom
