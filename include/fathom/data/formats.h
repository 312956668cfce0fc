// The formats that files of text may have, and the documents in them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/config/run_config.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {

/// How the settings below are called where they are set, which messages advise: data.text_field or
/// --text-field.
enum class SettingNames { keys, flags };

/// How documents are read, by the keys of DataConfig.
struct ReadOptions {
  std::string text_field = "text";
  std::string on_missing_text = "error";  ///< error, skip
  std::string on_invalid_utf8 = "error";  ///< error, replace, skip
  int64_t max_document_bytes = 16 << 20;  ///< of a JSON line; a text file may have any size

  SettingNames names = SettingNames::keys;

  static ReadOptions from(const DataConfig& config);
  /// "data.text_field" or "--text-field"; with a value "data.on_missing_text=skip" or
  /// "--on-missing-text skip".
  std::string setting(std::string_view key, std::string_view value = "") const;
};

/// Part of a document as it lies in a file. A reader makes it quickly and in order; what takes time
/// is left to document_text, which any thread may call.
struct Record {
  std::string bytes;  ///< a whole JSON line, or a part of a text file
  uint64_t line = 1;  ///< where it starts, counted from 1
  bool first = true;  ///< first part of its document
  bool last = true;   ///< last part of its document
  PartStart start = PartStart::kText;
  bool skipped = false;       ///< the document is left out (invalid UTF-8 with "skip")
  uint64_t replacements = 0;  ///< U+FFFD that stand for invalid UTF-8
};

/// The records of one file, in order.
class RecordReader {
 public:
  virtual ~RecordReader() = default;
  /// @returns false at the end. @throws DataError naming file and line: truncated, corrupt, too
  /// long a line, invalid UTF-8
  virtual bool next(Record& record) = 0;
  /// Bytes of the file itself (compressed ones) that were read, for progress.
  virtual uint64_t bytes_read() const = 0;
};

/// Chooses where a text of more than kMaxTextPart bytes is cut; Tokenizer::find_cut, mostly.
using CutFunction = std::function<TextCut(std::string_view)>;

/// A row of the table of formats (`train-llm list formats`).
struct FormatInfo {
  std::string_view name;
  std::vector<std::string_view> extensions;  ///< ".jsonl"
  std::string_view summary;
};

/// Document formats and compressions.
std::vector<FormatInfo> list_formats();

struct DocumentFormat;
struct Compression;

/// One input file.
struct DataFile {
  std::filesystem::path path;
  uint64_t bytes = 0;
  bool named = false;                        ///< given by its own name: has to hold a document
  const DocumentFormat* format = nullptr;    ///< null: a token file
  const Compression* compression = nullptr;  ///< null: none

  bool is_token_file() const { return format == nullptr; }
};

/// @throws DataError naming the first that is a token file
void require_text(const std::vector<DataFile>& files);

/// Opens a text file of any known format.
/// @throws DataError naming the file
std::unique_ptr<RecordReader> open_records(const DataFile& file, const ReadOptions& options,
                                           const CutFunction& cut);

/// The text of a record of `file`, which is used up; empty if the document is left out (then
/// `skipped` is set).
/// @throws DataError naming file and line: not JSON, no text field, invalid UTF-8
std::string document_text(const DataFile& file, Record& record, const ReadOptions& options);

}  // namespace fathom
