#include "fathom/base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/internal/terminal.h"

namespace fathom {
namespace {

constexpr std::chrono::milliseconds kRedrawInterval{100};
constexpr size_t kBarWidth = 10;

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

Progress::Progress(std::string title, double total, double start, std::string unit)
    : title_(std::move(title)),
      total_(total),
      start_(start),
      unit_(std::move(unit)),
      terminal_(::isatty(STDERR_FILENO) == 1),
      began_(Clock::now()),
      first_done_(start),
      done_(start) {}

Progress::~Progress() {
  if (terminal_) end_bar();
}

void Progress::update(double done, std::string_view details) {
  note_pace(done);
  details_ = details;
  const bool complete = total_ > 0 && done >= total_;
  if (terminal_ && (complete || Clock::now() - drawn_ >= kRedrawInterval)) draw(done, details);
}

void Progress::report(double done, std::string_view details) {
  note_pace(done);
  details_ = details;
  line(text(done, details));
  if (terminal_) draw(done, details);
}

Progress::Pause Progress::pause(std::string_view doing) {
  if (terminal_) {
    draw(done_, doing);
  } else {
    line(text(done_, doing));
  }
  return Pause(*this);
}

void Progress::go_on(Clock::time_point paused_at) {
  paused_ += Clock::now() - paused_at;
  if (terminal_) draw(done_, details_);
}

void Progress::line(std::string_view text) { print_line(text); }

std::string Progress::text(double done, std::string_view details) const {
  std::string text;
  if (!unit_.empty()) text = cat(unit_, " ", done, "/", total_, " ");
  if (total_ > 0)
    text += cat(static_cast<int>(100 * std::clamp(done / total_, 0.0, 1.0)), "% ETA ", eta(done),
                details.empty() ? "" : " ");
  return cat(text, details);
}

void Progress::draw(double done, std::string_view details) {
  drawn_ = Clock::now();
  const double share = total_ > 0 ? std::clamp(done / total_, 0.0, 1.0) : 0;
  const auto filled = static_cast<size_t>(share * kBarWidth);
  const std::string bar =
      total_ > 0 ? cat("[", std::string(filled, '#'), std::string(kBarWidth - filled, ' '), "] ")
                 : "";
  draw_bar(cat(title_, " ", bar, text(done, details)));
}

double Progress::elapsed() const {
  return std::chrono::duration<double>(Clock::now() - began_ - paused_).count();
}

void Progress::note_pace(double done) {
  if (first_done_ <= start_ && done > start_) {
    first_done_ = done;
    first_seconds_ = elapsed();
  }
  done_ = done;
}

std::string Progress::eta(double done) const {
  if (total_ > 0 && done >= total_) return format_duration(0);
  if (total_ <= 0 || done <= start_) return "?";
  const double left = total_ - done, seconds = elapsed();
  if (done > first_done_ && first_done_ > start_)
    return format_duration(left * (seconds - first_seconds_) / (done - first_done_));
  return format_duration(left * seconds / (done - start_));
}

}  // namespace fathom
