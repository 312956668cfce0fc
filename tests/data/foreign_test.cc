#include "data/formats/foreign.h"

#include "data/test_data.h"

namespace fathom {
namespace {

using testing::data_error;
using testing::documents;
using testing::gzip;
using testing::TemporaryFolder;
using testing::zstd;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(ForeignFile, AFileThatIsPackedInAnotherWayIsNamedWithTheCommand) {
  const TemporaryFolder folder;
  const auto error_of = [&](const std::string& name, const std::string& bytes) {
    const std::string path = folder.write(name, bytes);
    return data_error([&] { documents(path); });
  };
  EXPECT_TRUE(
      contains(error_of("a.txt.gz", "a plain text"),
               "but plain text; repair it: mv " + folder / "a.txt.gz" + " " + folder / "a.txt"));
  EXPECT_TRUE(
      contains(error_of("b.txt.gz", zstd("text")),
               "but zstd data; repair it: mv " + folder / "b.txt.gz" + " " + folder / "b.txt.zst"));
  EXPECT_TRUE(contains(error_of("c.txt.zst", gzip("text")), " " + folder / "c.txt.gz"));
  EXPECT_TRUE(
      contains(error_of("d.txt", gzip("text")), "is gzip data, not text in UTF-8; repair it: mv " +
                                                    folder / "d.txt" + " " + folder / "d.txt.gz"));
  const std::string twice = folder / "e.jsonl";
  EXPECT_TRUE(contains(error_of("e.jsonl.gz", gzip(gzip("{}"))),
                       twice + ".gz holds gzip data, not text in UTF-8; repair it: gzip -d " +
                           twice + ".gz && mv " + twice + " " + twice + ".gz"));
  EXPECT_TRUE(
      contains(error_of("f.jsonl.gz.gz", gzip(gzip("{}"))), "is packed twice; repair it: gzip -d"));
}

TEST(ForeignFile, BytesThatAreNoTextAreRefusedUnderAnyName) {
  const TemporaryFolder folder;
  const auto error_of = [&](const std::string& name, const std::string& bytes) {
    const std::string path = folder.write(name, bytes);
    ReadOptions options;
    options.on_invalid_utf8 = "replace";
    return data_error([&] { documents(path, options); });
  };
  std::string tar(1024, '\0');
  tar.replace(0, 5, "a.txt").replace(257, 5, "ustar");
  EXPECT_TRUE(contains(error_of("a.txt", tar), "a.txt is a tar archive"));
  EXPECT_TRUE(contains(error_of("b.txt.gz", gzip(tar)),
                       "b.txt.gz holds a tar archive, not text in UTF-8; repair it: gzip -d " +
                           folder / "b.txt.gz" + " && mkdir " + folder / "b.txt.folder"));
  EXPECT_TRUE(contains(error_of("c.jsonl.zst", zstd(tar)), "repair it: zstd -d --rm"));
  EXPECT_TRUE(contains(error_of("d.txt", "\xFF\xFF\xFF\xFF text"), "d.txt is an Arrow stream"));
  EXPECT_TRUE(contains(error_of("e.txt", std::string("ids\0\1\2\3\0\0 and", 13)),
                       "e.txt isn't text: 6 of its first 13 bytes are control characters"));
  EXPECT_EQ(documents(folder.write("f.txt", "\x1B[31mred\x1B[0m \f\b\x1A")).size(), 1U)
      << "what terminals and old editors leave in texts";
}

TEST(ForeignFile, Utf16WithoutAByteOrderMarkIsNamed) {
  const TemporaryFolder folder;
  std::string little, big;
  for (const char c : std::string("sixteen bits a letter\n")) {
    little += std::string{c, '\0'};
    big += std::string{'\0', c};
  }
  EXPECT_TRUE(
      contains(data_error([&] { documents(folder.write("a.txt", little)); }),
               "UTF-16 without a byte order mark, not UTF-8; repair it: iconv -f UTF-16LE"));
  EXPECT_TRUE(contains(data_error([&] { documents(folder.write("b.jsonl", big)); }), "UTF-16BE"));
  EXPECT_TRUE(contains(data_error([&] { documents(folder.write("c.txt.gz", gzip(little))); }),
                       "gzip -d " + folder / "c.txt.gz" + " && iconv -f UTF-16LE -t UTF-8 " +
                           folder / "c.txt" + " >"));
  std::string cyrillic;  // U+0430 on: no byte is 0 but those of the spaces
  for (int i = 0; i < 20; ++i)
    cyrillic += std::string{static_cast<char>(0x30 + i), '\4', ' ', '\0'};
  EXPECT_TRUE(
      contains(data_error([&] { documents(folder.write("d.txt", cyrillic)); }), "UTF-16LE"));
}

}  // namespace
}  // namespace fathom
