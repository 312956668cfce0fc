// JSON lines, as C4 and most corpora come: an object a line, the text in one of its fields.
#include <algorithm>
#include <optional>
#include <stdexcept>

#include "data/formats/json.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr size_t kBlockBytes = size_t{256} << 10;
constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// A stream after bytes that were read from it before.
class ResumedSource : public ByteSource {
 public:
  ResumedSource(std::string head, std::unique_ptr<ByteSource> rest)
      : head_(std::move(head)), rest_(std::move(rest)) {}

  size_t read(std::span<std::byte> buffer) override {
    const size_t n = std::min(buffer.size(), head_.size() - given_);
    std::copy_n(std::as_bytes(std::span(head_)).begin() + static_cast<ptrdiff_t>(given_), n,
                buffer.begin());
    given_ += n;
    return n + rest_->read(buffer.subspan(n));
  }
  uint64_t bytes_read() const override { return rest_->bytes_read(); }

 private:
  std::string head_;
  size_t given_ = 0;
  std::unique_ptr<ByteSource> rest_;
};

/// Splits a stream into lines of bounded length; blank ones are left out.
class LineReader : public RecordReader {
 public:
  LineReader(const FormatInput& input, std::unique_ptr<ByteSource> source)
      : file_(input.file),
        max_bytes_(static_cast<uint64_t>(input.options.max_document_bytes)),
        limit_(input.options.setting("max_document_bytes")),
        source_(std::move(source)),
        block_(kBlockBytes) {}

  bool next(Record& record) override {
    while (true) {
      record = Record{};
      if (!read_line(record.bytes)) return false;
      record.line = line_;
      if (record.bytes.find_first_not_of(kBlanks) != std::string::npos) return true;
    }
  }
  uint64_t bytes_read() const override { return source_->bytes_read(); }

 private:
  /// @returns false at the end of the file
  bool read_line(std::string& line) {
    ++line_;
    while (true) {
      if (begin_ == end_) {
        begin_ = 0;
        end_ = source_->read(std::as_writable_bytes(std::span(block_)));
        if (end_ == 0) return !line.empty();
      }
      const std::string_view rest(block_.data() + begin_, end_ - begin_);
      const size_t line_break = rest.find('\n');
      const bool found = line_break != std::string_view::npos;
      const std::string_view part = rest.substr(0, found ? line_break : rest.size());
      if (line.size() + part.size() > max_bytes_)
        throw DataError(cat(where(file_, line_), ": the line is longer than ", limit_, " (",
                            max_bytes_, "); raise it or split the document"));
      line += part;
      begin_ += part.size() + (found ? 1 : 0);
      if (found) return true;
    }
  }

  DataFile file_;
  uint64_t max_bytes_;
  std::string limit_;  // what it is called
  std::unique_ptr<ByteSource> source_;
  std::vector<char> block_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t line_ = 0;
};

/// The place of an escape \uD800 to \uDFFF at `at`, as its value; 0 for anything else.
unsigned surrogate_at(std::string_view json, size_t at) {
  if (at + 6 > json.size() || json[at] != '\\' || json[at + 1] != 'u') return 0;
  unsigned code = 0;
  for (size_t i = at + 2; i < at + 6; ++i) {
    const char c = json[i];
    const char lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9')
      code = code * 16 + static_cast<unsigned>(c - '0');
    else if (lower >= 'a' && lower <= 'f')
      code = code * 16 + static_cast<unsigned>(lower - 'a' + 10);
    else
      return 0;
  }
  return code >= 0xD800 && code <= 0xDFFF ? code : 0;
}

/// Turns each escaped surrogate without its other half, which no UTF-8 can express, into \uFFFD.
/// @returns how many there were
size_t replace_lone_surrogates(std::string& json) {
  size_t replaced = 0;
  for (size_t at = json.find('\\'); at != std::string::npos; at = json.find('\\', at)) {
    const unsigned code = surrogate_at(json, at);
    if (code == 0) {
      at += 2;  // the backslash and what it escapes
      continue;
    }
    const unsigned next = surrogate_at(json, at + 6);
    if (code < 0xDC00 && next >= 0xDC00) {
      at += 12;
      continue;
    }
    json.replace(at, 6, "\\uFFFD");
    at += 6;
    ++replaced;
  }
  return replaced;
}

std::string text(const DataFile& file, Record& record, const ReadOptions& options) {
  std::string json = apply_utf8_policy(file, record, std::move(record.bytes), options);
  if (record.skipped) return "";
  const size_t lone = replace_lone_surrogates(json);
  if (lone > 0 && options.on_invalid_utf8 == "error")
    throw DataError(cat(where(file, record.line),
                        ": the text has half a surrogate pair (\\uD800 to \\uDFFF), which isn't "
                        "Unicode; set ",
                        options.setting("on_invalid_utf8"), " to replace or skip"));
  record.skipped = lone > 0 && options.on_invalid_utf8 == "skip";
  if (record.skipped) return "";
  record.replacements += lone;
  try {
    std::optional<std::string> found = text_of_json(json, options);
    return found ? std::move(*found) : "";
  } catch (const std::invalid_argument& error) {
    throw DataError(cat(where(file, record.line), ": the document ", error.what()));
  }
}

std::unique_ptr<RecordReader> open(const FormatInput& input) {
  std::unique_ptr<ByteSource> source = open_source(input.file);
  constexpr size_t kHeadBytes = 4096;
  std::string head(kHeadBytes, '\0');
  head.resize(source->read(std::as_writable_bytes(std::span(head))));
  if (head.starts_with(kByteOrderMark)) head.erase(0, kByteOrderMark.size());
  const size_t first = head.find_first_not_of(kBlanks);
  if (first == std::string::npos || head[first] != '[')
    return std::make_unique<LineReader>(
        input, std::make_unique<ResumedSource>(std::move(head), std::move(source)));
  const auto lines = std::count(head.begin(), head.begin() + static_cast<ptrdiff_t>(first), '\n');
  return open_json_array(input,
                         std::make_unique<ResumedSource>(head.substr(first), std::move(source)),
                         1 + static_cast<uint64_t>(lines));
}

}  // namespace

const DocumentFormat kJsonlFormat{"jsonl",
                                  {".jsonl", ".json", ".ndjson"},
                                  "one JSON object a line, or one array of them; the text in the "
                                  "field data.text_field",
                                  open,
                                  text};

}  // namespace fathom
