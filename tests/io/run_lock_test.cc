#include "fathom/io/run_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "fathom/base/error.h"
#include "io/temporary_directory.h"

namespace fathom {
namespace {

using testing::HasSubstr;

TEST(RunLock, NamesTheHolderToASecondRun) {
  const TemporaryDirectory directory;
  const auto out = directory / "a/new/out";
  const RunLock lock(out);
  const std::string message = message_of<BusyError>([&] { RunLock second(out); });
  EXPECT_THAT(message, testing::StartsWith(out.string() + " is in use by 'process "));
  EXPECT_THAT(message, HasSubstr("process " + std::to_string(::getpid()) + " on "));
  EXPECT_THAT(message, HasSubstr("UTC'; stop that run or choose another train.out_dir"));
}

TEST(RunLock, IsFreeAgainWhenItsObjectEnds) {
  const TemporaryDirectory directory;
  { const RunLock lock(directory.path()); }
  EXPECT_NO_THROW(RunLock{directory.path()});
}

TEST(RunLock, IsFreeAgainAfterKillMinus9) {
  const TemporaryDirectory directory;
  int locked[2];
  ASSERT_EQ(::pipe(locked), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const RunLock lock(directory.path());
    if (::write(locked[1], "x", 1) == 1) ::pause();
    ::_exit(1);
  }
  char byte = 0;
  ASSERT_EQ(::read(locked[0], &byte, 1), 1);
  EXPECT_THAT(message_of<BusyError>([&] { RunLock second(directory.path()); }),
              HasSubstr("process " + std::to_string(child)));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(RunLock{directory.path()});
  ::close(locked[0]);
  ::close(locked[1]);
}

TEST(RunLock, SaysWhyADirectoryCannotBeLocked) {
  const TemporaryDirectory directory;
  write_file(directory / "out", "a file, not a directory");
  EXPECT_THAT(message_of<DiskError>([&] { RunLock lock(directory / "out"); }),
              HasSubstr((directory / "out").string()));
}

TEST(RequireWritable, LeavesNothingBehind) {
  const TemporaryDirectory directory;
  EXPECT_NO_THROW(require_writable(directory / "new/out"));
  EXPECT_TRUE(std::filesystem::is_empty(directory / "new/out"));
}

TEST(RequireWritable, RefusesAPlaceWhereNobodyMayWrite) {
  EXPECT_THAT(message_of<DiskError>([] { require_writable("/proc"); }), HasSubstr("/proc"));
  EXPECT_THAT(message_of<DiskError>([] { require_writable("/proc/out"); }), HasSubstr("/proc/out"));
}

}  // namespace
}  // namespace fathom
