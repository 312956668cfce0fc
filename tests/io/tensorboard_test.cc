// What TensorBoard itself makes of the files is tested by tensorboard_oracle.py.
#include "fathom/io/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "io/crc32c.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

const Log kLog;

std::vector<std::string> names_in(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Crc32c, MatchesThePublishedCheckValue) {  // RFC 3720, B.4, and the usual check value
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(TensorBoardWriter, StartsItsFileWithTheVersionRecord) {
  const TemporaryDirectory directory;
  { const TensorBoardWriter writer(directory / "tb", std::nullopt, kLog); }
  const std::vector<std::string> names = names_in(directory / "tb");
  ASSERT_EQ(names.size(), 1U);
  EXPECT_THAT(names[0],
              testing::MatchesRegex("events\\.out\\.tfevents\\.[0-9]{10}\\..+\\.[0-9]+\\.0"));
  const std::string content = read_file(directory / "tb" / names[0]);
  ASSERT_EQ(content.size(), 8U + 4 + 9 + 2 + 15 + 4);  // length, crc, time, step, version, crc
  EXPECT_EQ(content.substr(0, 8), std::string("\x1a\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(content[12], '\x09');  // 1: double
  EXPECT_EQ(content.substr(21, 17), std::string("\x10\0\x1a\x0d", 4) + "brain.Event:2");
}

TEST(TensorBoardWriter, NamesALaterFileBehindTheEarlierOnes) {
  const TemporaryDirectory directory;
  write_file(directory / "events.out.tfevents.9000000000.host.1.0",
             "");  // the clock was wrong then
  for (int i = 0; i < 2; ++i) const TensorBoardWriter writer(directory.path(), 1, kLog);
  const std::vector<std::string> names = names_in(directory.path());
  ASSERT_EQ(names.size(), 3U);
  EXPECT_THAT(names[1], testing::StartsWith("events.out.tfevents.9000000001."));
  EXPECT_THAT(names[2], testing::StartsWith("events.out.tfevents.9000000002."));
}

TEST(TensorBoardWriter, WarnsInsteadOfThrowing) {
  const TemporaryDirectory directory;
  write_file(directory / "tb", "a file, not a directory");
  testing::internal::CaptureStderr();
  EXPECT_NO_THROW({
    TensorBoardWriter writer(directory / "tb", 1, kLog);
    writer.write(1, {{"loss", 1.0}});
  });
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("the run goes on without TensorBoard files"));
}

}  // namespace
}  // namespace fathom
