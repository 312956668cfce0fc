#include "fathom/data/formats.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "data/formats/foreign.h"
#include "data/formats/format.h"
#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

const std::array kDocumentFormats{&kTextFormat, &kJsonlFormat};
const std::array kCompressions{&kGzip, &kZstd};

constexpr std::string_view kTokenFileExtension = ".tokens";

/// The file itself.
class FileSource : public ByteSource {
 public:
  explicit FileSource(const std::filesystem::path& path) try : file_(path) {
  } catch (const DiskError& error) {
    throw DataError(error.what());
  }
  size_t read(std::span<std::byte> buffer) override {
    const size_t n = file_.read(buffer);
    bytes_read_ += n;
    return n;
  }
  uint64_t bytes_read() const override { return bytes_read_; }

 private:
  InputFile file_;
  uint64_t bytes_read_ = 0;
};

/// The row of a table whose extension ends `name`, which loses it.
template <typename Table>
auto take_extension(const Table& table, std::string_view& name) -> decltype(table[0]) {
  static constexpr std::remove_cvref_t<decltype(table[0])> kNone = nullptr;
  for (const auto& row : table) {
    for (const std::string_view extension : row->extensions) {
      if (name.size() <= extension.size() || !name.ends_with(extension)) continue;
      name.remove_suffix(extension.size());
      return row;
    }
  }
  return kNone;
}

}  // namespace

ReadOptions ReadOptions::from(const DataConfig& config) {
  return {config.text_field, config.on_missing_text, config.on_invalid_utf8,
          config.max_document_bytes, SettingNames::keys};
}

std::string ReadOptions::setting(std::string_view key, std::string_view value) const {
  if (names == SettingNames::keys) return cat("data.", key, value.empty() ? "" : "=", value);
  std::string flag(key);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return cat("--", flag, value.empty() ? "" : " ", value);
}

std::vector<FormatInfo> list_formats() {
  std::vector<FormatInfo> rows;
  for (const DocumentFormat* row : kDocumentFormats)
    rows.push_back({row->name, row->extensions, row->summary});
  for (const Compression* row : kCompressions)
    rows.push_back({row->name, row->extensions, row->summary});
  rows.push_back({"tokens", {kTokenFileExtension}, "token file that `train-llm prepare` wrote"});
  return rows;
}

std::vector<std::string> known_extensions() {
  std::vector<std::string> names;
  for (const FormatInfo& row : list_formats())
    names.insert(names.end(), row.extensions.begin(), row.extensions.end());
  return names;
}

DataFile classify(const std::filesystem::path& path) {
  DataFile file;
  file.path = path;
  std::string name = path.filename().string();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view rest = name;
  file.compression = take_extension(kCompressions, rest);
  file.format = take_extension(kDocumentFormats, rest);
  return file;
}

std::unique_ptr<ByteSource> open_source(const DataFile& file) {
  std::unique_ptr<ByteSource> source = std::make_unique<FileSource>(file.path);
  if (file.compression != nullptr)
    source = file.compression->open(
        checked(std::move(source), file.path, file.compression, Stage::packed), file.path.string());
  return checked(std::move(source), file.path, file.compression, Stage::text);
}

void require_text(const std::vector<DataFile>& files) {
  for (const DataFile& file : files) {
    if (!file.is_token_file()) continue;
    const FileSource refuses_pointers(file.path);
    throw DataError(
        cat(file.path.string(), " is a token file, and text is needed here; name text ",
            "files alone (data.train, eval and diagnose take token files as they are)"));
  }
}

std::unique_ptr<RecordReader> open_records(const DataFile& file, const ReadOptions& options,
                                           const CutFunction& cut) {
  require_text({file});
  return file.format->open({file, options, cut});
}

std::string document_text(const DataFile& file, Record& record, const ReadOptions& options) {
  return file.format->text(file, record, options);
}

std::string where(const DataFile& file, uint64_t line) {
  return cat(file.path.string(), ":", line);
}

void throw_invalid_utf8(const DataFile& file, uint64_t line, uint64_t byte_in_line, char bad,
                        const ReadOptions& options) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(bad);
  throw DataError(cat(where(file, line), ":", byte_in_line, ": invalid UTF-8 (byte 0x",
                      kHex[byte >> 4], kHex[byte & 15], "); convert the file to UTF-8, or set ",
                      options.setting("on_invalid_utf8"), " to replace or skip"));
}

std::string apply_utf8_policy(const DataFile& file, Record& record, std::string text,
                              const ReadOptions& options) {
  const Utf8Scan scan = scan_utf8(text);
  if (scan.bad == 0) return text;
  if (options.on_invalid_utf8 == "skip") {
    record.skipped = true;
    return "";
  }
  if (options.on_invalid_utf8 == "replace") {
    std::string valid;
    valid.reserve(text.size());
    record.replacements += append_replacing(text, valid);
    return valid;
  }
  throw_invalid_utf8(file, record.line, scan.valid + 1, text[scan.valid], options);
}

}  // namespace fathom
