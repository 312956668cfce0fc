// A directory that appears under its name when it is complete.
#pragma once

#include <filesystem>

namespace fathom {

class NewDirectory {
 public:
  /// Makes a temporary directory on the disk where `target`, with its links followed, lies or will
  /// lie: beside it, or in it where it is there already and empty, as the root of a disk is.
  /// @throws ConfigError if there is something at `target`; DiskError
  explicit NewDirectory(const std::filesystem::path& target);
  /// Removes the temporary directory unless `publish` was called.
  ~NewDirectory();
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;

  /// Where to write the files.
  const std::filesystem::path& path() const { return temporary_; }

  /// Makes the files durable under their final names; config.json, without which nothing reads
  /// them, comes last. @throws DiskError
  void publish();

 private:
  void move_files();

  std::filesystem::path target_;
  bool exists_ = false;
  std::filesystem::path temporary_;
  int descriptor_ = -1;  // of the temporary directory
};

}  // namespace fathom
