#include "fathom/io/internal/weight_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/base/hash.h"
#include "fathom/base/json.h"
#include "fathom/io/checkpoint_directory.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <typename Number>
std::span<const std::byte> bytes_of(const std::vector<Number>& numbers) {
  return std::as_bytes(std::span(numbers));
}

/// A checkpoint with two tensors.
fs::path checkpoint_in(const fs::path& root, const std::vector<float>& a) {
  CheckpointWriter writer(root, 1);
  SafetensorsWriter file(writer.file("model.safetensors"),
                         {{"a", TensorType::kF32, {2, static_cast<int64_t>(a.size()) / 2}},
                          {"b", TensorType::kBF16, {3}}});
  file.write("a", bytes_of(a));
  file.write("b", bytes_of(std::vector<uint16_t>{1, 2, 3}));
  file.publish();
  return writer.publish().directory;
}

void read_all(const fs::path& directory) {
  const WeightCheck check(directory);
  const SafetensorsFile file(directory / "model.safetensors");
  check.check_file(file);
  for (const auto& entry : file.tensors())
    check.read(file, entry.first, /*must_be_finite=*/true, [](auto) {});
}

std::string refusal(const fs::path& directory) {
  try {
    read_all(directory);
  } catch (const CheckpointError& error) {
    return error.what();
  }
  return "";
}

void flip(const fs::path& path, size_t byte, int bit) {
  std::string text = read_file(path);
  text[byte] = static_cast<char>(text[byte] ^ (1 << bit));
  write_file(path, text);
}

TEST(Checksum, IsXxh3AsItsSpecificationHasIt) {
  EXPECT_EQ(Checksum().hex_digest(), "2d06800538d394c2");  // of nothing
  Checksum whole, parts;
  const std::vector<uint16_t> numbers(1000, 77);
  whole.update(bytes_of(numbers));
  parts.update(bytes_of(numbers).first(3));
  parts.update(bytes_of(numbers).subspan(3));
  EXPECT_EQ(parts.hex_digest(), whole.hex_digest());
}

TEST(WeightCheck, FindsEveryFlippedBitAndNamesFileAndTensor) {
  const TemporaryDirectory root;
  const fs::path directory = checkpoint_in(root.path(), {1, 2, 3, 4});
  const fs::path path = directory / "model.safetensors";
  EXPECT_EQ(refusal(directory), "");
  const size_t size = fs::file_size(path), of_tensors = 4 * 4 + 3 * 2;
  for (size_t byte = 0; byte < size; ++byte)
    for (int bit = 0; bit < 8; ++bit) {
      flip(path, byte, bit);
      const std::string what = refusal(directory);
      EXPECT_THAT(what, HasSubstr("model.safetensors")) << byte << " " << bit;
      if (byte >= size - of_tensors) {
        EXPECT_THAT(what, HasSubstr(byte < size - 6 ? "tensor 'a' " : "tensor 'b' ")) << byte;
      }
      flip(path, byte, bit);
    }
  EXPECT_EQ(refusal(directory), "");
}

TEST(Verify, NamesTheTensorThatIsDamaged) {
  const TemporaryDirectory root;
  const fs::path directory = checkpoint_in(root.path(), {1, 2, 3, 4});
  const fs::path path = directory / "model.safetensors";
  const size_t last = fs::file_size(path) - 1;
  for (const auto& [byte, name] : {std::pair(last, "tensor 'b' is"), {last - 6, "tensor 'a' is"}}) {
    flip(path, byte, 0);
    EXPECT_EQ(message_of<CheckpointError>([&] { verify(directory, StopFlag()); }),
              cat(path.string(), ": ", name, " damaged: its SHA-256 isn't the manifest's"));
    flip(path, byte, 0);
  }
}

TEST(WeightCheck, TakesTheWholeFilesHashFromManifestsOfBefore) {
  const TemporaryDirectory root;
  const fs::path directory = checkpoint_in(root.path(), {1, 2, 3, 4});
  // As Fathom 1.0 wrote it: the seal is the SHA-256 of all lines before it.
  Json json = Json::parse(read_file(directory / "manifest.json"));
  json["files"]["model.safetensors"].erase("xxh3");
  json.erase("manifest_sha256");
  std::string body = json.dump(2);
  body.resize(body.size() - 2);
  body += ",\n";
  write_file(directory / "manifest.json",
             body + "  \"manifest_sha256\": \"" + sha256(body) + "\"\n}\n");
  EXPECT_EQ(refusal(directory), "");
  flip(directory / "model.safetensors", fs::file_size(directory / "model.safetensors") - 1, 0);
  EXPECT_THAT(refusal(directory), AllOf(HasSubstr("model.safetensors"), HasSubstr("SHA-256")));
}

TEST(WeightCheck, NamesTheFirstNumberThatIsNotFinite) {
  const TemporaryDirectory root;
  const std::vector<float> numbers(1'000'000, std::numeric_limits<float>::max());
  for (const auto& [value, name] :
       {std::pair(kNan, "nan"), {INFINITY, "inf"}, {-INFINITY, "-inf"}}) {
    std::vector<float> bad = numbers;
    bad[500'017] = bad[999'999] = value;
    EXPECT_THAT(refusal(checkpoint_in(root.path(), bad)),
                AllOf(HasSubstr("tensor 'a'"), HasSubstr(std::string("holds ") + name),
                      HasSubstr("[1, 17]")));
  }
  EXPECT_EQ(refusal(checkpoint_in(root.path(), numbers)), "");
}

TEST(WeightCheck, KnowsTheInfinitiesOfEveryTypeOfWeights) {
  const TemporaryDirectory root;
  const auto refusal_of = [&](TensorType type, auto number) {
    SafetensorsWriter file(root.path() / "model.safetensors", {{"w", type, {1}}});
    file.write("w", bytes_of(std::vector{number}));
    file.publish();
    return refusal(root.path());  // without a manifest
  };
  EXPECT_THAT(refusal_of(TensorType::kBF16, uint16_t{0xFF80}), HasSubstr("-inf"));
  EXPECT_EQ(refusal_of(TensorType::kBF16, uint16_t{0xFF7F}), "");
  EXPECT_THAT(refusal_of(TensorType::kF16, uint16_t{0x7C01}), HasSubstr("nan"));
  EXPECT_EQ(refusal_of(TensorType::kF16, uint16_t{0x7BFF}), "");
  EXPECT_THAT(refusal_of(TensorType::kF64, double{INFINITY}), HasSubstr("inf"));
  EXPECT_THAT(refusal_of(TensorType::kF64, std::nan("")), HasSubstr("holds nan"));
  const double largest = std::numeric_limits<float>::max();
  EXPECT_EQ(refusal_of(TensorType::kF64, largest), "");
  for (const double beyond : {std::nextafter(largest, INFINITY), -1e300})
    EXPECT_THAT(refusal_of(TensorType::kF64, beyond),
                AllOf(HasSubstr("tensor 'w' holds "), HasSubstr(", beyond float32, at [0]")));
  EXPECT_EQ(refusal_of(TensorType::kI64, int64_t{-1}), "");
}

TEST(WeightCheck, TakesAnotherProgramsManifestForNone) {
  const TemporaryDirectory root;
  const fs::path directory = checkpoint_in(root.path(), {1, 2, 3, 4});
  flip(directory / "model.safetensors", fs::file_size(directory / "model.safetensors") - 1, 0);
  write_file(directory / "manifest.json", R"({"name": "an app", "icons": []})");
  EXPECT_EQ(refusal(directory), "");
  for (const char* damaged : {"", "{", R"({"format": "fathom checkpoint"})"}) {
    write_file(directory / "manifest.json", damaged);
    EXPECT_THAT(refusal(directory), HasSubstr("manifest.json")) << damaged;
  }
}

}  // namespace
}  // namespace fathom
