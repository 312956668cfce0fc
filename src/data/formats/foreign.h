// Files that aren't text as Fathom reads it, and the command that makes it of them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "data/formats/format.h"

namespace fathom {

/// A kind of file that is refused by name.
struct ForeignFormat {
  std::string_view name;
  std::vector<std::string_view> extensions;
  std::string_view magic;  ///< its first bytes; "" where only the extension tells
  std::string_view fix;    ///< a command, with @ for the file's path and % for it without extension
  size_t offset = 0;       ///< where `magic` stands
};

/// The row whose extension a file's name ends with, or null. Where several have it, the file's
/// first bytes tell.
const ForeignFormat* foreign_by_name(const std::filesystem::path& path);

/// "pdftotext a.pdf a.pdf.txt" for a.pdf.
std::string repair_command(const ForeignFormat& format, const std::filesystem::path& path);

/// What a source's bytes have to be: a compression's, or a text's.
enum class Stage { packed, text };

/// A source that looks at its first bytes and passes them on.
/// @param packing of the file, or null
/// @throws DataError, when it is read, where they are another program's: compressed where they
/// shouldn't be or the other way round, UTF-16, Parquet, ...
std::unique_ptr<ByteSource> checked(std::unique_ptr<ByteSource> source,
                                    const std::filesystem::path& path, const Compression* packing,
                                    Stage stage);

}  // namespace fathom
