#include "fathom/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "fathom/base/error.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

using testing::HasSubstr;

// As `git lfs pointer --file` prints it.
constexpr std::string_view kPointer =
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 12345\n";

class PlaceholderFile : public testing::Test {
 protected:
  std::filesystem::path made(std::string_view content) {
    write_file(directory_ / "model.safetensors", content);
    return directory_ / "model.safetensors";
  }
  std::string refusal(std::string_view content) {
    const auto path = made(content);
    const std::string message = message_of<DataError>([&] { const InputFile file(path); });
    EXPECT_EQ(message, message_of<DataError>([&] { const MappedFile map(path); }));
    EXPECT_EQ(message, message_of<DataError>([&] { read_text_file(path, 1 << 20); }));
    return message;
  }

  TemporaryDirectory directory_;
};

TEST_F(PlaceholderFile, OfGitLfsIsRefusedByEveryReaderWithTheCommandThatFetchesTheFile) {
  const std::string advice = " is a Git LFS pointer, not the file itself: run git lfs pull in " +
                             directory_.path().string();
  EXPECT_THAT(refusal(kPointer), HasSubstr("model.safetensors" + advice));
  std::string with_extension(kPointer);
  with_extension.insert(with_extension.find("oid"), "ext-0-foo sha256:0123\n");
  EXPECT_THAT(refusal(with_extension), HasSubstr(advice));
  EXPECT_THAT(refusal("version https://hawser.github.com/spec/v1\noid sha256:0\nsize 1\n"),
              HasSubstr("a Git LFS pointer"));
}

TEST_F(PlaceholderFile, OfGitAnnexIsRefused) {
  EXPECT_THAT(refusal("/annex/objects/SHA256E-s12345--4d7a2146.safetensors\n"),
              HasSubstr("a git-annex pointer, not the file itself: run git annex get"));
}

TEST_F(PlaceholderFile, IsNoTextThatQuotesAPointerOrIsLonger) {
  for (const std::string& text :
       {"A pointer: " + std::string(kPointer), std::string(kPointer) + std::string(1024, 'x'),
        std::string("version"), std::string()}) {
    EXPECT_EQ(read_text_file(made(text), 1 << 20), text);
  }
}

}  // namespace
}  // namespace fathom
