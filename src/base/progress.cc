#include "fathom/base/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kRedrawInterval{100};
constexpr size_t kBarWidth = 20;
constexpr std::string_view kClearLine = "\r\x1b[K";

/// One write for the whole text, so that lines of several processes don't mix. Errors are dropped:
/// nobody is left to tell.
void write_to_stderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

/// Columns of the terminal; 80 where it doesn't tell.
size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

bool continues_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// The first `columns` characters: a line that wraps could not be redrawn in place.
std::string_view fit(std::string_view text, size_t columns) {
  size_t end = 0;
  for (; end < text.size(); ++end) {
    if (continues_code_point(text[end])) continue;
    if (columns == 0) break;
    --columns;
  }
  return text.substr(0, end);
}

}  // namespace

std::string format_duration(double seconds) {
  constexpr double kLongest = 1e9;  // three decades: nobody waits, the pace isn't known yet
  if (!(seconds >= 0 && seconds < kLongest)) return "?";
  const int64_t whole = std::llround(seconds);
  char text[32];
  if (whole < 3600) {
    std::snprintf(text, sizeof text, "%d:%02d", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%d:%02d:%02d", static_cast<int>(whole / 3600),
                  static_cast<int>(whole / 60 % 60), static_cast<int>(whole % 60));
  }
  return text;
}

Progress::Progress(std::string title, double total, double start)
    : title_(std::move(title)),
      total_(total),
      start_(start),
      terminal_(::isatty(STDERR_FILENO) == 1),
      began_(Clock::now()) {}

Progress::~Progress() {
  if (terminal_ && !bar_.empty()) write_to_stderr("\n");
}

void Progress::update(double done, std::string_view details) {
  if (!terminal_) return;
  const bool complete = total_ > 0 && done >= total_;
  const Clock::time_point now = Clock::now();
  if (!complete && !bar_.empty() && now - drawn_ < kRedrawInterval) return;
  drawn_ = now;
  bar_ = title_;
  if (total_ > 0) {
    const double share = std::clamp(done / total_, 0.0, 1.0);
    const auto filled = static_cast<size_t>(share * kBarWidth);
    bar_ += cat(" [", std::string(filled, '#'), std::string(kBarWidth - filled, ' '), "] ",
                static_cast<int>(share * 100), "%");
  }
  if (!details.empty()) bar_ += cat(" ", details);
  if (total_ > 0) bar_ += cat(" ETA ", eta(done));
  bar_ = fit(bar_, terminal_width() - 1);
  write_to_stderr(cat(kClearLine, bar_));
}

void Progress::line(std::string_view text) {
  write_to_stderr(terminal_ && !bar_.empty() ? cat(kClearLine, text, "\n", bar_) : cat(text, "\n"));
}

std::string Progress::eta(double done) const {
  if (total_ > 0 && done >= total_) return format_duration(0);
  if (total_ <= 0 || done <= start_) return "?";
  const double elapsed = std::chrono::duration<double>(Clock::now() - began_).count();
  return format_duration((total_ - done) * elapsed / (done - start_));
}

}  // namespace fathom
