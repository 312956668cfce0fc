// Plain text and source code: a file is a document. It is handed on in parts that can be tokenized
// one by one, so its size doesn't matter.
#include <algorithm>
#include <utility>

#include "data/formats/format.h"
#include "fathom/base/error.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

constexpr size_t kBlockBytes = size_t{64} << 10;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// Reads blocks and makes valid text of them: no byte order mark, "\n" for "\r\n", the policy for
/// invalid UTF-8 applied.
class TextReader : public RecordReader {
 public:
  explicit TextReader(const FormatInput& input)
      : file_(input.file), options_(input.options), cut_(input.cut) {
    if (options_.on_invalid_utf8 == "skip" && !is_valid()) {
      skipped_ = true;
      return;
    }
    source_ = open_source(file_);
  }

  bool next(Record& record) override {
    if (done_) return false;
    record = Record{};
    record.skipped = done_ = skipped_;
    if (skipped_) return true;
    while (!ended_ && text_.size() < kMaxTextPart + kCutContext) read_block();
    record.line = part_line_;
    record.first = first_;
    record.start = start_;
    record.replacements = std::exchange(replacements_, 0);
    record.last = done_ = text_.size() <= kMaxTextPart;
    TextCut cut{text_.size(), PartStart::kText};
    if (!done_) cut = cut_(text_);
    record.bytes = text_.substr(0, cut.at);
    text_.erase(0, cut.at);
    part_line_ += static_cast<uint64_t>(std::count(record.bytes.begin(), record.bytes.end(), '\n'));
    start_ = cut.next;
    first_ = false;
    return true;
  }

  uint64_t bytes_read() const override { return source_ == nullptr ? 0 : source_->bytes_read(); }

 private:
  /// A pass over the whole file, for "skip": its first parts must not be used before that.
  bool is_valid() const {
    const std::unique_ptr<ByteSource> source = open_source(file_);
    std::string bytes;
    while (append_block(*source, bytes)) {
      const Utf8Scan scan = scan_utf8(bytes);
      if (scan.bad != 0 && !scan.incomplete) return false;
      bytes.erase(0, scan.valid);
    }
    return bytes.empty();
  }

  static bool append_block(ByteSource& source, std::string& bytes) {
    const size_t before = bytes.size();
    bytes.resize(before + kBlockBytes);
    const size_t n = source.read(std::as_writable_bytes(std::span(bytes).subspan(before)));
    bytes.resize(before + n);
    return n > 0;
  }

  void read_block() {
    ended_ = !append_block(*source_, raw_);
    if (at_start_) skip_byte_order_mark();
    size_t used = 0;
    while (used < raw_.size()) {
      const std::string_view rest = std::string_view(raw_).substr(used);
      const Utf8Scan scan = scan_utf8(rest);
      std::string_view valid = rest.substr(0, scan.valid);
      // The next block may hold the rest of a character, or the "\n" of a "\r\n".
      const bool more_to_come = !ended_ && (scan.bad == 0 || scan.incomplete);
      if (more_to_come && scan.bad == 0 && valid.ends_with('\r')) valid.remove_suffix(1);
      append_text(valid);
      used += valid.size();
      if (more_to_come || scan.bad == 0) break;
      if (options_.on_invalid_utf8 != "replace")
        throw_invalid_utf8(file_, line_, bytes_in_line_ + 1, rest[scan.valid], options_);
      replacements_ += append_replacing(rest.substr(scan.valid, scan.bad), text_);
      bytes_in_line_ += scan.bad;
      used += scan.bad;
    }
    raw_.erase(0, used);
  }

  void skip_byte_order_mark() {
    at_start_ = false;
    if (raw_.starts_with(kByteOrderMark)) raw_.erase(0, kByteOrderMark.size());
  }

  void append_text(std::string_view valid) {
    while (!valid.empty()) {
      const size_t line_break = valid.find('\n');
      const bool found = line_break != std::string_view::npos;
      std::string_view line = valid.substr(0, found ? line_break : valid.size());
      valid.remove_prefix(line.size() + (found ? 1 : 0));
      bytes_in_line_ += line.size();
      if (found && line.ends_with('\r')) line.remove_suffix(1);
      text_ += line;
      if (!found) continue;
      text_ += '\n';
      ++line_;
      bytes_in_line_ = 0;
    }
  }

  DataFile file_;
  ReadOptions options_;
  CutFunction cut_;
  std::unique_ptr<ByteSource> source_;
  std::string raw_;   // bytes that can't be judged yet
  std::string text_;  // valid text that wasn't handed on
  uint64_t line_ = 1;
  uint64_t bytes_in_line_ = 0;
  uint64_t part_line_ = 1;
  uint64_t replacements_ = 0;
  PartStart start_ = PartStart::kText;
  bool at_start_ = true;
  bool first_ = true;
  bool ended_ = false;
  bool skipped_ = false;
  bool done_ = false;
};

std::unique_ptr<RecordReader> open(const FormatInput& input) {
  return std::make_unique<TextReader>(input);
}

std::string text(const DataFile&, Record& record, const ReadOptions&) {
  return std::move(record.bytes);
}

}  // namespace

const DocumentFormat kTextFormat{
    "text",
    {".txt", ".text", ".md",    ".rst",  ".tex",  ".py",  ".pyi",  ".c",   ".h",  ".cc",
     ".hh",  ".cpp",  ".hpp",   ".cxx",  ".cu",   ".cuh", ".java", ".js",  ".ts", ".go",
     ".rs",  ".sh",   ".cmake", ".toml", ".yaml", ".yml", ".html", ".css", ".sql"},
    "plain text or source code in UTF-8; a file is a document",
    open,
    text};

}  // namespace fathom
