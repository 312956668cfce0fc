// What a document format and a compression are. A new one is one file here and a row in
// data/formats.cc.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/formats.h"

namespace fathom {

/// A stream of bytes: a file, or what a decompressor makes of one.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Fills `buffer` as far as the stream goes. @returns bytes read, 0 at the end. @throws DataError
  virtual size_t read(std::span<std::byte> buffer) = 0;
  /// Bytes of the file that were read so far.
  virtual uint64_t bytes_read() const = 0;
};

/// A way of packing files, recognised by the last extension.
struct Compression {
  std::string_view name;
  std::vector<std::string_view> extensions;
  std::string_view summary;
  std::string_view unpack;                   ///< the command that takes a file's packing off
  bool (*is_packed)(std::string_view head);  ///< whether a file may begin with these four bytes
  std::unique_ptr<ByteSource> (*open)(std::unique_ptr<ByteSource> packed, const std::string& path);
};

/// What a reader of records works with.
struct FormatInput {
  const DataFile& file;
  const ReadOptions& options;
  const CutFunction& cut;
};

/// A way of holding documents, recognised by the (last but one) extension.
struct DocumentFormat {
  std::string_view name;
  std::vector<std::string_view> extensions;
  std::string_view summary;
  std::unique_ptr<RecordReader> (*open)(const FormatInput& input);
  std::string (*text)(const DataFile& file, Record& record, const ReadOptions& options);
};

extern const DocumentFormat kTextFormat;
extern const DocumentFormat kJsonlFormat;
extern const Compression kGzip;
extern const Compression kZstd;

/// The file's bytes after decompression. @throws DataError
std::unique_ptr<ByteSource> open_source(const DataFile& file);

/// The format and the compression that a file's name says; `format` stays null for other names.
DataFile classify(const std::filesystem::path& path);

/// Every extension, for messages.
std::vector<std::string> known_extensions();

/// "path:line" for messages.
std::string where(const DataFile& file, uint64_t line);

/// Applies the policy for invalid UTF-8 to a whole text: throws, replaces or skips.
/// @param record its line is named in the error; replacements and skipped are set
/// @returns the valid text; empty when skipped
std::string apply_utf8_policy(const DataFile& file, Record& record, std::string text,
                              const ReadOptions& options);

/// "path:line:byte: invalid UTF-8 (byte 0xFF); ...".
[[noreturn]] void throw_invalid_utf8(const DataFile& file, uint64_t line, uint64_t byte_in_line,
                                     char bad, const ReadOptions& options);

}  // namespace fathom
