// Token files: the ids of many documents, with an index, in one file.
//
// All numbers are little-endian. Layout of version 1:
//   0    magic "FATHOMTK"
//   8    u32 version, u32 bytes per token (2 or 4)
//   16   u64 tokens, u64 documents, u64 offset of the index, u64 size of the file
//   48   u64 empty documents left out, u64 documents left out for invalid UTF-8,
//        u64 U+FFFD that replace invalid UTF-8
//   72   u32 size of the vocabulary, u32 largest id
//   80   SHA-256 of the tokenizer's model file
//   112  SHA-256 of everything after the header
//   144  SHA-256 of bytes 0 to 143
//   176  zeros up to 256
//   256  tokens: document after document, each ended by EOS; zeros up to a multiple of 8
//   ...  index: u64 first token of each document, then u64 tokens
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fathom/base/file.h"
#include "fathom/base/hash.h"
#include "fathom/base/stop.h"

namespace fathom {

/// What a token file says of itself.
struct TokenFileInfo {
  uint32_t width = 2;  ///< bytes per token
  uint64_t num_tokens = 0;
  uint64_t num_documents = 0;
  uint64_t empty_documents = 0;    ///< left out: no text
  uint64_t skipped_documents = 0;  ///< left out: invalid UTF-8
  uint64_t replacements = 0;       ///< U+FFFD in place of invalid UTF-8
  uint32_t vocab_size = 0;
  uint32_t max_id = 0;
  std::string tokenizer_checksum;  ///< hex
  std::string content_checksum;    ///< hex
};

/// Tells whether a file is still the one that was opened.
struct FileIdentity {
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;
  uint64_t device = 0;

  /// @throws DataError if the file can't be found
  static FileIdentity of(const std::filesystem::path& path);
  bool operator==(const FileIdentity&) const = default;
};

/// An open token file. Opening reads the header only, so its cost doesn't depend on the size.
///
/// Tokens are read, the index is mapped: of a big file, no more than its index comes to count as
/// memory of the process. If another program cuts the file short while a run uses it, a look into
/// the index beyond the new end is a SIGBUS that kills the process: nothing in C++ can turn it into
/// an error safely. So readers call check_unchanged before each batch, which costs a microsecond
/// and names the file; only a change within the microseconds that follow can still kill.
class TokenFile {
 public:
  /// @param hold_open false: the file is opened anew for each read, as for thousands of files
  /// @throws DataError if it isn't a whole token file of this version
  static TokenFile open(const std::filesystem::path& path, bool hold_open = true);

  const TokenFileInfo& info() const { return info_; }
  const std::filesystem::path& path() const { return map_.path(); }

  /// First token of a document; `document` may be num_documents: the end.
  /// @throws DataError if the index is corrupt there
  uint64_t document_start(uint64_t document) const;
  /// First tokens of the documents from `first` on, read without mapping: a pass over all of a big
  /// index takes no memory. @throws DataError if the index is corrupt there
  void read_document_starts(uint64_t first, std::span<uint64_t> out) const;
  /// The document that a token belongs to (binary search in the index).
  uint64_t document_of(uint64_t token) const;
  /// Copies tokens [begin, begin + out.size()). @throws DataError if an id is beyond max_id:
  /// corrupt
  void read(uint64_t begin, std::span<int64_t> out) const;

  /// Reads everything: content checksum, index, ids. @throws DataError naming what differs
  void verify(const StopFlag& stop) const;
  /// @throws DataError if the file was replaced, cut or written to since it was opened
  void check_unchanged() const;

 private:
  TokenFile(MappedFile map, FileIdentity identity);
  uint64_t index_offset(uint64_t document) const;
  uint64_t index_entry(uint64_t document) const;
  [[noreturn]] void reject_index(uint64_t document) const;

  MappedFile map_;
  FileIdentity identity_;
  TokenFileInfo info_;
};

/// Whether a file begins as token files do. @returns false also if it can't be read
bool is_token_file(const std::filesystem::path& path);

/// Writes a token file; it appears under its name when it is complete.
class TokenFileWriter {
 public:
  /// @param vocab_size decides the width: two bytes up to 65,536 pieces
  /// @throws DiskError
  TokenFileWriter(const std::filesystem::path& path, int64_t vocab_size,
                  const std::string& tokenizer_checksum);
  ~TokenFileWriter();

  /// Adds tokens to the current document. @throws DataError if an id isn't in the vocabulary
  void add_tokens(std::span<const int32_t> ids);
  /// Ends the current document, which has to have tokens.
  void end_document();
  uint64_t num_tokens() const { return info_.num_tokens; }

  /// Writes index and header and publishes the file. Counts of what was left out come from `notes`.
  /// @returns what the file says of itself. @throws DiskError
  TokenFileInfo publish(const TokenFileInfo& notes);

 private:
  class Spill;
  void write_content(std::span<const std::byte> bytes);

  OutputFile file_;
  std::unique_ptr<Spill> index_;
  Sha256 content_;
  TokenFileInfo info_;
  std::vector<std::byte> buffer_;
};

}  // namespace fathom
