#include "fathom/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(SafetensorsWriter, WritesTheBytesOfTheFormatsSpecification) {
  const TemporaryDirectory directory;
  const auto path = directory / "a.safetensors";
  SafetensorsWriter writer(path, {{"b", TensorType::kU8, {3}}, {"a", TensorType::kF32, {1, 1}}});
  writer.write("a", bytes_of("ABCD"));
  writer.write("b", bytes_of("xyz"));
  writer.publish();
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},)"
      R"("b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(read_file(path), std::string(1, static_cast<char>(padded.size())) +
                                 std::string(7, '\0') + padded + "ABCDxyz");
}

TEST(SafetensorsWriter, StoresWideElementsFirstThenByName) {
  const TemporaryDirectory directory;
  const SafetensorsWriter writer(directory / "a.safetensors", {{"u8", TensorType::kU8, {1}},
                                                               {"bf16", TensorType::kBF16, {1}},
                                                               {"z", TensorType::kF32, {1}},
                                                               {"a", TensorType::kI32, {1}},
                                                               {"i64", TensorType::kI64, {}}});
  std::vector<std::string> names;
  for (const TensorSpec& tensor : writer.order()) names.push_back(tensor.name);
  EXPECT_THAT(names, testing::ElementsAre("i64", "z", "a", "bf16", "u8"));
}

TEST(SafetensorsFile, ReadsBackWhatTheWriterWrote) {
  const TemporaryDirectory directory;
  const auto path = directory / "a.safetensors";
  const std::string odd_name = "na\"me\n\xE2\x98\x83";
  SafetensorsWriter writer(path,
                           {{odd_name, TensorType::kF16, {2, 1}},
                            {"empty", TensorType::kF64, {0, 7}},
                            {"scalar", TensorType::kBool, {}}},
                           {{"step", "12"}});
  writer.write(odd_name, bytes_of("ab"));
  writer.write(odd_name, bytes_of("cd"));  // a tensor may come in parts
  writer.write("scalar", bytes_of("\x01"));
  writer.publish();
  const SafetensorsFile file(path);
  EXPECT_EQ(file.metadata(),
            (std::map<std::string, std::string>{{"format", "pt"}, {"step", "12"}}));
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.at(odd_name).dtype, TensorType::kF16);
  EXPECT_EQ(file.at(odd_name).shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(text_of(file.at(odd_name).bytes), "abcd");
  EXPECT_EQ(file.at("empty").shape, (std::vector<int64_t>{0, 7}));
  EXPECT_TRUE(file.at("empty").bytes.empty());
  EXPECT_TRUE(file.at("scalar").shape.empty());
}

TEST(SafetensorsFile, ReadsAFileWithoutTensors) {
  const TemporaryDirectory directory;
  SafetensorsWriter(directory / "a.safetensors", {}).publish();
  EXPECT_TRUE(SafetensorsFile(directory / "a.safetensors").tensors().empty());
}

TEST(SafetensorsFile, NamesTheNearestTensor) {
  const TemporaryDirectory directory;
  SafetensorsWriter writer(directory / "a.safetensors", {{"lm_head.weight", TensorType::kU8, {1}}});
  writer.write("lm_head.weight", bytes_of("x"));
  writer.publish();
  const SafetensorsFile file(directory / "a.safetensors");
  EXPECT_THAT(message_of<CheckpointError>([&] { file.at("lm_haed.weight"); }),
              testing::HasSubstr("has no tensor 'lm_haed.weight'; did you mean 'lm_head.weight'?"));
}

TEST(SafetensorsFile, SaysThatAFileIsMissing) {
  EXPECT_EQ(message_of<CheckpointError>([] { SafetensorsFile("/nowhere/a.safetensors"); }),
            "/nowhere/a.safetensors: no such file");
}

TEST(SafetensorsFile, RefusesPickledFilesByNameWithoutOpeningThem) {
  for (const char* name : {"model.bin", "model.pt", "model.pth", "epoch.CKPT", "optimizer.pkl"}) {
    EXPECT_THAT(message_of<CheckpointError>(
                    [&] { SafetensorsFile(std::filesystem::path("/nowhere") / name); }),
                testing::HasSubstr("can run code"))
        << name;
  }
  EXPECT_NO_THROW(refuse_pickled_weights("model.safetensors"));
}

TEST(SafetensorsWriter, RefusesDuplicateNamesAndImpossibleShapes) {
  const TemporaryDirectory directory;
  const auto write = [&](std::vector<TensorSpec> tensors) {
    return message_of<CheckpointError>(
        [&] { SafetensorsWriter(directory / "a.safetensors", tensors); });
  };
  EXPECT_THAT(write({{"x", TensorType::kU8, {1}}, {"x", TensorType::kF32, {1}}}),
              testing::HasSubstr("tensor 'x': appears twice"));
  EXPECT_THAT(write({{"x", TensorType::kU8, {-1}}}), testing::HasSubstr("a dimension is -1"));
  EXPECT_THAT(write({{"x", TensorType::kF32, {int64_t{1} << 40, int64_t{1} << 40}}}),
              testing::HasSubstr("tensor 'x': its shape has more elements than fit in 64 bits"));
  EXPECT_THAT(write({{"__metadata__", TensorType::kU8, {1}}}),
              testing::HasSubstr("no tensor may be called"));
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(SafetensorsWriter, RefusesTensorsOutOfOrderAndPublishesNothingIncomplete) {
  const TemporaryDirectory directory;
  {
    SafetensorsWriter writer(directory / "a.safetensors",
                             {{"a", TensorType::kU8, {2}}, {"b", TensorType::kU8, {2}}});
    EXPECT_THROW(writer.write("b", bytes_of("xy")), std::logic_error);
    EXPECT_THROW(writer.write("a", bytes_of("xyz")), std::logic_error);
    writer.write("a", bytes_of("xy"));
    EXPECT_THROW(writer.publish(), std::logic_error);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

}  // namespace
}  // namespace fathom
