#include "fathom/base/internal/output_path.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr uid_t kSomebody = 12345;

TEST(ResolveOutput, FollowsLinksAsTheSystemDoes) {
  const TemporaryDirectory root;
  fs::create_directories(root / "big/disk");
  fs::create_directory_symlink("big", root / "relative");
  fs::create_directory_symlink(root / "relative/disk", root / "chain");
  EXPECT_EQ(resolve_output(root / "chain/out/new"), root / "big/disk/out/new");
  EXPECT_EQ(fs::canonical(resolve_output(root / "chain/../disk")),
            fs::canonical(root / "big/disk"));
  EXPECT_EQ(resolve_output("not/there"), fs::path("not/there"));
}

TEST(ResolveOutput, SaysWhatIsWrongWithALink) {
  const TemporaryDirectory root;
  fs::create_symlink("nowhere", root / "dangling");
  fs::create_symlink("loop", root / "loop");
  write_file(root / "file", "text");
  fs::create_symlink("file", root / "to_file");
  EXPECT_THAT(message_of<DiskError>([&] { resolve_output(root / "dangling/out"); }),
              AllOf(HasSubstr("dangling is a link to nowhere, which doesn't exist")));
  EXPECT_THAT(message_of<DiskError>([&] { resolve_output(root / "loop"); }),
              HasSubstr("leads back to itself"));
  EXPECT_THAT(message_of<DiskError>([&] { make_directories(root / "to_file"); }),
              AllOf(HasSubstr("to_file: "), HasSubstr("file is a file; name another folder")));
}

TEST(ResolveOutput, DoesNotFollowALinkThatSomebodyElseMayHavePlanted) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make another user's link";
  const TemporaryDirectory root;
  fs::create_directories(root / "open");
  fs::create_directories(root / "private");
  fs::create_directory_symlink(root / "private", root / "open/planted");
  ASSERT_EQ(::chmod((root / "open").c_str(), 0777), 0);
  EXPECT_EQ(resolve_output(root / "open/planted"), root / "private");  // it is root's own
  ASSERT_EQ(::lchown((root / "open/planted").c_str(), kSomebody, kSomebody), 0);
  EXPECT_THAT(message_of<DiskError>([&] { make_directories(root / "open/planted/checkpoints"); }),
              HasSubstr("another user's link"));
  ASSERT_EQ(::chmod((root / "open").c_str(), 0755), 0);  // whoever made it had the right to
  EXPECT_EQ(resolve_output(root / "open/planted"), root / "private");
}

TEST(OutputFile, NeverWritesThroughALink) {
  const TemporaryDirectory root;
  write_file(root / "victim", "precious");
  fs::create_symlink("victim", root / "config.yaml");
  write_text_file(root / "config.yaml", "new");
  EXPECT_EQ(read_file(root / "victim"), "precious");
  EXPECT_EQ(read_file(root / "config.yaml"), "new");
}

TEST(OutputFile, RefusesAFolderBeforeTheWork) {
  const TemporaryDirectory root;
  EXPECT_THAT(message_of<DiskError>([&] { OutputFile file(root.path()); }),
              HasSubstr("is a folder; name a file in it"));
}

TEST(OutputFile, RemovesWhatAKilledProcessLeftOfItAndNothingElse) {
  const TemporaryDirectory root;
  write_file(root / "data.tokens.tmp-0123abcd", "half");
  write_file(root / "data.tokens.tmp-4711", "half, of an older version");
  write_file(root / "other.tokens.tmp-0123abcd", "another file's");
  write_file(root / "data.tokens.tmp-notes", "a user's");
  const OutputFile alive(root / "data.tokens");
  write_text_file(root / "data.tokens", "whole");
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(root.path()))
    names.push_back(entry.path().filename().string());
  EXPECT_THAT(names, testing::UnorderedElementsAre("data.tokens", "data.tokens.tmp-notes",
                                                   "other.tokens.tmp-0123abcd",
                                                   testing::StartsWith("data.tokens.tmp-")));
}

}  // namespace
}  // namespace fathom
