// Which files paths, folders and globs name.
#include "fathom/data/find_files.h"

#include "data/test_data.h"
#include "fathom/data/formats.h"

namespace fathom {
namespace {

using testing::data_error;
using testing::documents;
using testing::gzip;
using testing::TemporaryFolder;
using Texts = std::vector<std::string>;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(FindFiles, TakesFilesFoldersAndGlobsInOrder) {
  const TemporaryFolder folder;
  for (const std::string name : {"b.txt", "a.py", "sub/c.jsonl.gz", "sub/deep/d.md", "image.png",
                                 "sub/e.tokens", ".hidden.txt", ".git/config.txt"})
    folder.write(name, "x");
  const auto names = [&](const std::vector<std::string>& patterns) {
    Texts found;
    for (const DataFile& file : find_files(patterns))
      found.push_back(file.path.lexically_relative(folder.path()).string());
    return found;
  };
  EXPECT_EQ(names({folder.path().string()}),
            (Texts{"a.py", "b.txt", "sub/c.jsonl.gz", "sub/deep/d.md", "sub/e.tokens"}));
  EXPECT_EQ(names({folder / "b.txt", folder / "a.py"}), (Texts{"b.txt", "a.py"}));
  EXPECT_EQ(names({folder / "*.txt"}), Texts{"b.txt"});
  EXPECT_EQ(names({folder / "[!b].py"}), Texts{"a.py"});
  EXPECT_EQ(names({folder / "?.py"}), Texts{"a.py"});
  EXPECT_EQ(names({folder / "*/*.gz"}), Texts{"sub/c.jsonl.gz"});
  EXPECT_EQ(names({folder / "**/*.md"}), Texts{"sub/deep/d.md"});
  EXPECT_EQ(names({folder / "sub/**"}), (Texts{"sub/c.jsonl.gz", "sub/deep/d.md", "sub/e.tokens"}));
  folder.write("odd[1].txt", "x");
  EXPECT_EQ(names({folder / "odd[1].txt"}), Texts{"odd[1].txt"}) << "a name that exists is no glob";
}

TEST(FindFiles, FollowsLinksToFoldersOnceAndTakesNoFileTwice) {
  const TemporaryFolder folder, elsewhere;
  folder.write("data/a.txt", "x");
  folder.write("data/sub/b.txt", "x");
  elsewhere.write("c.txt", "x");
  elsewhere.write("deep/d.txt", "x");
  namespace fs = std::filesystem;
  fs::create_directory_symlink(elsewhere.path(), folder / "data/far");
  fs::create_directory_symlink(elsewhere.path(), folder / "data/sub/again");
  fs::create_directory_symlink(folder / "data", folder / "data/loop");
  fs::create_symlink(folder / "data/a.txt", folder / "data/0.txt");
  fs::create_hard_link(folder / "data/a.txt", folder / "data/z.txt");
  fs::create_symlink(folder / "nowhere.txt", folder / "data/broken.txt");
  const auto names = [&](const std::string& pattern) {
    Texts found;
    for (const DataFile& file : find_files({pattern}))
      found.push_back(file.path.lexically_relative(folder / "data").string());
    return found;
  };
  const Texts all = {"a.txt", "far/c.txt", "far/deep/d.txt", "sub/b.txt"};
  EXPECT_EQ(names(folder / "data"), all);
  EXPECT_EQ(names(folder / "data/**/*.txt"), all);
}

TEST(FindFiles, NamesWhatItLeavesOut) {
  const TemporaryFolder folder;
  for (const std::string name : {"a.txt", "README.md", "sub/README.md", "b.pdf", ".hidden", "c"})
    folder.write(name, "x");
  ::testing::internal::CaptureStderr();
  const Log log;
  const auto files = find_files({folder.path().string()}, &log);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(files.size(), 1U);
  EXPECT_TRUE(contains(said, "warning: " + folder.path().string() +
                                 ": left out 5 files: .hidden (hidden), README.md (it describes "
                                 "the data), b.pdf (a PDF), c (no extension), sub/README.md (it "
                                 "describes the data); "))
      << said;
  EXPECT_EQ(find_files({folder / "README.md"}).size(), 1U) << "a file that is named is taken";
}

TEST(FindFiles, SaysHowOtherKindsOfFilesBecomeText) {
  const TemporaryFolder folder;
  const auto error_of = [&](const std::string& name) {
    folder.write(name, "x");
    return data_error([&] { find_files({folder / name}); });
  };
  EXPECT_TRUE(contains(error_of("a.parquet"),
                       "is Parquet, which Fathom doesn't read; repair it: python -c"));
  EXPECT_TRUE(
      contains(error_of("a.pdf"), "pdftotext " + folder / "a.pdf" + " " + folder / "a.txt"));
  EXPECT_TRUE(contains(error_of("a.tar.gz"), "tar -xf " + folder / "a.tar.gz"));
  EXPECT_TRUE(contains(error_of("a.jsonl.xz"), "| gzip > " + folder / "a.jsonl.gz"));
  EXPECT_TRUE(contains(error_of("part-0.gz"), "name it " + folder / "part-0.txt.gz"));
  EXPECT_TRUE(contains(error_of("a.arrow"), "pyarrow.ipc.open_file(sys.argv[1])"));
  folder.write("stream.arrow", "\xFF\xFF\xFF\xFF");
  EXPECT_TRUE(
      contains(data_error([&] { find_files({folder / "stream.arrow"}); }),
               "is an Arrow stream, which Fathom doesn't read; repair it: python -c \"import sys, "
               "datasets; datasets.Dataset.from_file"));
  folder.write("only/b.parquet", "x");
  EXPECT_TRUE(contains(data_error([&] { find_files({folder / "only"}); }),
                       "left out 1 file: b.parquet (Parquet); repair it: python"));
}

TEST(FindFiles, KnowsExtensionsInCapitals) {
  const TemporaryFolder folder;
  EXPECT_EQ(documents(folder.write("A.TXT.GZ", gzip("text"))), Texts{"text"});
}

TEST(FindFiles, SaysWhatItCantFind) {
  const TemporaryFolder folder;
  folder.write("image.png", "x");
  std::filesystem::create_directory(folder / "empty");
  const auto error_of = [&](const std::string& name) {
    return data_error([&] { find_files({folder / name}); });
  };
  EXPECT_TRUE(contains(error_of("none.txt"), "can't find " + folder / "none.txt"));
  EXPECT_TRUE(contains(error_of("*.txt"), "matches no file"));
  EXPECT_TRUE(contains(error_of("empty"), "no file of a known format"));
  EXPECT_TRUE(contains(error_of("image.png"), "image.png has no known extension"));
  EXPECT_TRUE(contains(error_of("[z"), "glob"));
  EXPECT_TRUE(
      contains(data_error([] { find_files({"/dev/null"}); }), "neither a file nor a folder"));
}

}  // namespace
}  // namespace fathom
