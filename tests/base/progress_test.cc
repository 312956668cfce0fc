#include "fathom/base/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <sstream>
#include <thread>

#include "fathom/base/internal/terminal.h"
#include "fathom/base/log.h"

namespace fathom {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

/// Sends stderr elsewhere and back.
class StderrTo {
 public:
  explicit StderrTo(int descriptor) : saved_(::dup(STDERR_FILENO)) {
    ::dup2(descriptor, STDERR_FILENO);
  }
  ~StderrTo() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
  }

 private:
  int saved_;
};

std::string read_available(int descriptor) {
  ::fcntl(descriptor, F_SETFL, O_NONBLOCK);
  std::array<char, 4096> buffer;
  std::string text;
  for (ssize_t n; (n = ::read(descriptor, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<size_t>(n));
  return text;
}

/// What `work` prints to a terminal of some width.
template <typename Work>
std::string on_terminal(unsigned short columns, const Work& work) {
  int controller = -1;
  int terminal = -1;
  const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  if (::openpty(&controller, &terminal, nullptr, nullptr, &size) != 0) return "no terminal";
  {
    const StderrTo redirect(terminal);
    work();
  }
  std::string text = read_available(controller);
  ::close(terminal);
  ::close(controller);
  return text;
}

/// What `work` prints to a pipe.
template <typename Work>
std::string on_pipe(const Work& work) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  {
    const StderrTo redirect(ends[1]);
    work();
  }
  ::close(ends[1]);
  std::string text = read_available(ends[0]);
  ::close(ends[0]);
  return text;
}

TEST(FormatDuration, ShowsMinutesAndHours) {
  EXPECT_EQ(format_duration(0), "0:00");
  EXPECT_EQ(format_duration(7.4), "0:07");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(83), "1:23");
  EXPECT_EQ(format_duration(3599.6), "1:00:00");
  EXPECT_EQ(format_duration(2 * 3600 + 3 * 60 + 4), "2:03:04");
  EXPECT_EQ(format_duration(100 * 3600), "100:00:00");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_duration(std::nan("")), "?");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(format_duration(1e300), "?");
}

TEST(Progress, PrintsOnlyLinesWhereThereIsNoTerminal) {
  const std::string text = on_pipe([] {
    Progress progress("train", 10, 0, "step");
    progress.update(4, "loss 1");
    progress.line("hello");
    { const Progress::Pause pause = progress.pause("evaluating"); }
    progress.report(10, "loss 0");
  });
  EXPECT_THAT(text, MatchesRegex("hello\nstep 4/10 40% ETA [0-9:]+ evaluating\n"
                                 "step 10/10 100% ETA 0:00 loss 0\n"));
}

TEST(Progress, SaysTheSameInTheBarAndInLines) {
  const std::string text = on_terminal(80, [] {
    Progress progress("train", 200, 0, "step");
    progress.report(100, "loss 1.5000");
  });
  EXPECT_THAT(text, MatchesRegex("step 100/200 50% ETA [0-9:]+ loss 1.5000\r\n"
                                 "\r.\\[Ktrain \\[#####     \\] step 100/200 50% ETA [0-9:]+ "
                                 "loss 1.5000\r\n"));
}

TEST(Progress, DrawsABarThatFitsTheTerminal) {
  const std::string text = on_terminal(80, [] {
    Progress progress("train", 200);
    progress.update(100, "loss 1.5");
  });
  EXPECT_THAT(text, MatchesRegex("\r.\\[Ktrain \\[#####     \\] 50% ETA [0-9:]+ loss 1.5\r\n"));
  const std::string narrow = on_terminal(15, [] {
    Progress progress("train", 200);
    progress.update(100, "loss 1.5");
  });
  EXPECT_EQ(narrow, "\r\x1b[Ktrain [#####  \r\n");
  const std::string accented = on_terminal(4, [] {
    Progress progress("\u00e9\u00e9\u00e9\u00e9", 0);
    progress.update(1, "");
  });
  EXPECT_EQ(accented, "\r\x1b[K\u00e9\u00e9\u00e9\r\n");
}

TEST(Progress, KeepsEveryOtherTextOffTheBarsLine) {
  const std::string text = on_terminal(80, [] {
    Progress progress("read", 0);
    progress.line("first");
    progress.update(3, "3 files");
    progress.line("second");
    Log().warn("third");
    end_bar();  // as before text on stdout
    progress.line("fourth");
  });
  EXPECT_EQ(text,
            "first\r\n\r\x1b[Kread 3 files\r\x1b[Ksecond\r\nread 3 files"
            "\r\x1b[Kwarning: third\r\nread 3 files\r\nfourth\r\n");
}

TEST(Progress, ShowsWhatIsDoneInAPauseUntilItEnds) {
  const std::string text = on_terminal(80, [] {
    Progress progress("train", 10, 0, "step");
    progress.update(0, "starting");
    { const Progress::Pause pause = progress.pause("evaluating"); }
  });
  EXPECT_EQ(text,
            "\r\x1b[Ktrain [          ] step 0/10 0% ETA ? starting"
            "\r\x1b[Ktrain [          ] step 0/10 0% ETA ? evaluating"
            "\r\x1b[Ktrain [          ] step 0/10 0% ETA ? starting\r\n");
}

TEST(Progress, RedrawsNowAndThenAndAlwaysAtTheEnd) {
  const std::string text = on_terminal(80, [] {
    Progress progress("train", 1000);
    for (int i = 1; i <= 1000; ++i) progress.update(i, "");
  });
  EXPECT_THAT(text, HasSubstr("[          ] 0% ETA"));
  EXPECT_THAT(text, EndsWith("[##########] 100% ETA 0:00\r\n"));
  EXPECT_LT(std::count(text.begin(), text.end(), '['), 500);
}

/// "1:23" or "2:03:04" in seconds.
double seconds_of(const std::string& duration) {
  double seconds = 0;
  std::istringstream parts(duration);
  for (std::string part; std::getline(parts, part, ':');) seconds = 60 * seconds + std::stod(part);
  return seconds;
}

TEST(Progress, EstimatesWithoutTheStartAndWithoutPauses) {
  using Clock = std::chrono::steady_clock;
  constexpr double kLeft = 1e6;
  constexpr std::chrono::milliseconds kLong{200}, kPiece{1};
  Progress progress("train", kLeft + 2);
  std::this_thread::sleep_for(kLong);  // the start, and a first piece that is slow
  const auto first = Clock::now();
  progress.update(1, "");
  std::this_thread::sleep_for(kPiece);
  auto pause_began = first, pause_ended = first;
  {
    const Progress::Pause pause = progress.pause("evaluating");
    pause_began = Clock::now();
    std::this_thread::sleep_for(kLong);
    pause_ended = Clock::now();
  }
  progress.update(2, "");
  const double eta = seconds_of(progress.eta(2));
  const std::chrono::duration<double> most = (Clock::now() - pause_ended) + (pause_began - first);
  EXPECT_GE(eta, kLeft * 0.001);
  EXPECT_LE(eta, kLeft * most.count() + 1);
}

TEST(Progress, EstimatesFromWhereTheRunResumed) {
  Progress progress("train", 100, 50);
  EXPECT_EQ(progress.eta(50), "?");
  EXPECT_EQ(progress.eta(0), "?");
  EXPECT_EQ(progress.eta(100), "0:00");
  EXPECT_EQ(Progress("count", 0).eta(5), "?");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_THAT(progress.eta(50.0001), Not(StartsWith("0:0")));  // at least 20 ms * 49.9999 / 0.0001
}

TEST(Progress, OutlivesAClosedStderr) {
  const int saved = ::dup(STDERR_FILENO);
  ::close(STDERR_FILENO);
  {
    Progress progress("train", 10);
    progress.update(5, "");
    progress.line("x");
  }
  ::dup2(saved, STDERR_FILENO);
  ::close(saved);
}

}  // namespace
}  // namespace fathom
