// JSON lines, as C4 and most corpora come: an object a line, the text in one of its fields.
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/formats/format.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr size_t kBlockBytes = size_t{256} << 10;
constexpr int kMaxDepth = 64;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// Splits a stream into lines of bounded length; blank ones are left out.
class LineReader : public RecordReader {
 public:
  explicit LineReader(const FormatInput& input)
      : file_(input.file),
        max_bytes_(static_cast<uint64_t>(input.options.max_document_bytes)),
        source_(open_source(file_)),
        block_(kBlockBytes) {}

  bool next(Record& record) override {
    while (true) {
      record = Record{};
      if (!read_line(record.bytes)) return false;
      record.line = line_;
      if (line_ == 1 && record.bytes.starts_with(kByteOrderMark))
        record.bytes.erase(0, kByteOrderMark.size());
      if (record.bytes.find_first_not_of(" \t\r") != std::string::npos) return true;
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
        throw DataError(cat(where(file_, line_),
                            ": the line is longer than data.max_document_bytes (", max_bytes_,
                            "); raise it or split the document"));
      line += part;
      begin_ += part.size() + (found ? 1 : 0);
      if (found) return true;
    }
  }

  DataFile file_;
  uint64_t max_bytes_;
  std::unique_ptr<ByteSource> source_;
  std::vector<char> block_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t line_ = 0;
};

/// Keeps one text field of the outermost object and nothing else.
class FieldHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit FieldHandler(const std::string& field) : field_(field) {}

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(number_integer_t) override { return value(); }
  bool number_unsigned(number_unsigned_t) override { return value(); }
  bool number_float(number_float_t, const string_t&) override { return value(); }
  bool binary(binary_t&) override { return value(); }
  bool string(string_t& text) override {
    if (depth_ == 1 && wanted_) {
      text_ = std::move(text);
      wanted_ = false;
      return true;
    }
    return value();
  }
  bool start_object(std::size_t) override { return (depth_ == 0 || value()) && open(); }
  bool start_array(std::size_t) override { return value() && open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    wanted_ = name == field_;
    if (wanted_ && text_) return reject(cat("has the field '", field_, "' twice"));
    if (fields_.size() < 8) fields_.push_back(name.substr(0, 32));
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    return reject(cat("is not valid JSON (at byte ", position, "); one object a line is needed"));
  }

  /// @throws std::invalid_argument with the reason when the line isn't as it should be
  std::string take(bool parsed) {
    if (!parsed) throw std::invalid_argument(reason_);
    if (!text_)
      throw std::invalid_argument(
          cat("has no field '", field_, "' (it has: ", join(fields_), "); set data.text_field"));
    return std::move(*text_);
  }

 private:
  bool reject(std::string reason) {
    reason_ = std::move(reason);
    return false;
  }
  /// A value that isn't the text.
  bool value() {
    if (depth_ == 0) return reject("is not an object; one JSON object a line is needed");
    if (depth_ != 1 || !wanted_) return true;
    return reject(cat("has a field '", field_, "' that isn't a text"));
  }
  bool open() {
    return ++depth_ <= kMaxDepth || reject(cat("has more than ", kMaxDepth, " levels of nesting"));
  }
  bool close() {
    --depth_;
    return true;
  }

  const std::string& field_;
  std::optional<std::string> text_;
  std::vector<std::string> fields_;
  std::string reason_;
  int depth_ = 0;
  bool wanted_ = false;
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
                        "Unicode; set data.on_invalid_utf8 to replace or skip"));
  record.skipped = lone > 0 && options.on_invalid_utf8 == "skip";
  if (record.skipped) return "";
  record.replacements += lone;
  try {
    FieldHandler handler(options.text_field);
    const bool parsed = nlohmann::json::sax_parse(json, &handler);
    return handler.take(parsed);
  } catch (const std::invalid_argument& error) {
    throw DataError(cat(where(file, record.line), ": the line ", error.what()));
  }
}

std::unique_ptr<RecordReader> open(const FormatInput& input) {
  return std::make_unique<LineReader>(input);
}

}  // namespace

const DocumentFormat kJsonlFormat{"jsonl",
                                  {".jsonl", ".json", ".ndjson"},
                                  "one JSON object a line, its text in the field data.text_field",
                                  open,
                                  text};

}  // namespace fathom
