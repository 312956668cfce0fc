// Files with checked system calls: streaming input, read-only maps, and output that is published
// atomically.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

/// Sequential reader. Opens regular files only, so that a FIFO or a device can't hang the program.
class InputFile {
 public:
  /// @throws DiskError: missing, unreadable, not a regular file; DataError: a pointer of Git LFS
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// Fills `buffer` as far as the file goes. @returns bytes read, 0 at the end. @throws DiskError
  size_t read(std::span<std::byte> buffer);
  uint64_t size() const { return size_; }

 private:
  std::filesystem::path path_;
  int descriptor_;
  uint64_t size_;
};

/// The whole of a text file of at most `limit` bytes. @throws as InputFile, also when it is larger
std::string read_text_file(const std::filesystem::path& path, uint64_t limit);

/// Whether the process may hold so many files open beside what else it needs, three times over.
bool may_hold_open(size_t num_files);

/// A read-only memory map of a regular file; an empty file maps to an empty span.
class MappedFile {
 public:
  /// @throws as InputFile
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }
  /// Fills `out` from `offset` on. What is read so takes no memory of the process, as looking into
  /// `bytes` does by and by. @throws DiskError, also where the file ends before
  void read_at(uint64_t offset, std::span<std::byte> out) const;
  /// From now on `read_at` opens the file each time; the map stays. For many files at once.
  void close_descriptor();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::span<const std::byte> bytes_;
};

/// Writes `path` through `path` + ".tmp-<random>": the final name appears by rename, after an
/// fsync, or never. A link that has the name is replaced, not followed. What a killed process left
/// on the way to the same name is removed.
class OutputFile {
 public:
  /// Creates the temporary file. @throws DiskError
  explicit OutputFile(const std::filesystem::path& path);
  /// Removes the temporary file unless `publish` was called.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Writes all of `bytes`. @throws DiskError (full disk, I/O error)
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Overwrites bytes at `offset`, for headers known last. @throws DiskError
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  /// fsync, close, rename, fsync of the directory. @throws DiskError
  void publish();
  uint64_t bytes_written() const { return bytes_written_; }

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  uint64_t bytes_written_ = 0;
};

/// Writes a small text file atomically. @throws DiskError
void write_text_file(const std::filesystem::path& path, std::string_view text);

/// Makes a directory's entries durable. @throws DiskError
void sync_directory(const std::filesystem::path& path);

/// Creates a directory and its parents, where links lead to (output_path.h).
/// @throws DiskError naming the path and why
void make_directories(const std::filesystem::path& path);

}  // namespace fathom
