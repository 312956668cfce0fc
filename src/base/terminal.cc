#include "fathom/base/internal/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "fathom/base/error.h"
#include "fathom/base/internal/quote.h"

namespace fathom {
namespace {

constexpr std::string_view kClearLine = "\r\x1b[K";

// A process has one stderr: what stands on its last line belongs to all.
std::mutex mutex;
std::string bar;  // NOLINT(cert-err58-cpp): empty

/// One write for the whole text, so that lines of several processes don't mix.
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

void print_line(std::string_view text_in) {
  const std::string text = printable(text_in);
  const std::lock_guard lock(mutex);
  write_to_stderr(bar.empty() ? cat(text, "\n") : cat(kClearLine, text, "\n", bar));
}

void draw_bar(std::string_view text) {
  const std::lock_guard lock(mutex);
  bar = fit(printable(text), terminal_width() - 1);
  write_to_stderr(cat(kClearLine, bar));
}

void end_bar() {
  const std::lock_guard lock(mutex);
  if (!bar.empty()) write_to_stderr("\n");
  bar.clear();
}

}  // namespace fathom
