// A file that is one JSON array of documents, as json.dump, pandas and datasets write without
// lines.
#include <algorithm>
#include <optional>

#include "data/formats/json.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr size_t kBlockBytes = size_t{256} << 10;

class ArrayReader : public RecordReader {
 public:
  ArrayReader(const FormatInput& input, std::unique_ptr<ByteSource> source, uint64_t line)
      : file_(input.file),
        max_bytes_(static_cast<uint64_t>(input.options.max_document_bytes)),
        limit_(input.options.setting("max_document_bytes")),
        source_(std::move(source)),
        block_(kBlockBytes),
        line_(line) {
    take();  // the '['
  }

  bool next(Record& record) override {
    record = Record{};
    if (ended_) return false;
    skip_blanks();
    if (first_ && peek() == ']') {
      take();
      return end();
    }
    first_ = false;
    record.line = line_;
    read_element(record.bytes);
    if (record.bytes.empty()) reject("an element is missing");
    if (take() == ']') end();
    return true;
  }
  uint64_t bytes_read() const override { return source_->bytes_read(); }

 private:
  [[noreturn]] void reject(const std::string& reason) const {
    throw DataError(cat(where(file_, line_), ": ", reason,
                        "; the file is one JSON array, which jq -c '.[]' FILE checks and writes a "
                        "line an element"));
  }

  std::optional<char> peek() {
    if (begin_ == end_) {
      begin_ = 0;
      end_ = source_->read(std::as_writable_bytes(std::span(block_)));
      if (end_ == 0) return std::nullopt;
    }
    return block_[begin_];
  }

  std::optional<char> take() {
    const std::optional<char> c = peek();
    if (!c) return c;
    ++begin_;
    if (*c == '\n') ++line_;
    return c;
  }

  void skip_blanks() {
    for (std::optional<char> c = peek();
         c && std::string_view(" \t\r\n").find(*c) != std::string_view::npos; c = peek())
      take();
  }

  /// Nothing but blanks may follow the array.
  bool end() {
    skip_blanks();
    if (peek()) reject("something follows the array's ']'");
    ended_ = true;
    return false;
  }

  /// Up to the ',' or ']' that follows it.
  void read_element(std::string& element) {
    int depth = 0;
    bool in_text = false;
    while (true) {
      const std::optional<char> c = peek();
      if (!c) reject("the array has no end (is the file truncated? copy it again)");
      if (!in_text && depth == 0 && (*c == ',' || *c == ']')) return;
      take();
      element += *c;
      if (element.size() > max_bytes_)
        throw DataError(cat(where(file_, line_), ": the document is longer than ", limit_, " (",
                            max_bytes_, "); raise it or split the document"));
      if (in_text && *c == '\\') {
        if (const std::optional<char> escaped = take()) element += *escaped;
      } else if (*c == '"') {
        in_text = !in_text;
      } else if (!in_text) {
        depth += *c == '{' || *c == '[' ? 1 : *c == '}' || *c == ']' ? -1 : 0;
      }
    }
  }

  DataFile file_;
  uint64_t max_bytes_;
  std::string limit_;  // what it is called
  std::unique_ptr<ByteSource> source_;
  std::vector<char> block_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t line_;
  bool first_ = true;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<RecordReader> open_json_array(const FormatInput& input,
                                              std::unique_ptr<ByteSource> source, uint64_t line) {
  return std::make_unique<ArrayReader>(input, std::move(source), line);
}

}  // namespace fathom
