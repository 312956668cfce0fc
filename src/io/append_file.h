// A file that grows by whole records and never ends a run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "fathom/base/log.h"

namespace fathom {

class AppendFile {
 public:
  enum class Mode { kExtend, kCreateNew };

  /// @param mode kCreateNew: the file must not exist yet
  /// @throws DiskError
  AppendFile(const std::filesystem::path& path, Mode mode, const Log& log);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Writes all of the record with one system call, or none of it. The first failure is a warning.
  void append(std::string_view record);
  void sync();

 private:
  void warn(int error_number);

  std::filesystem::path path_;
  Log log_;
  int descriptor_;
  uint64_t size_ = 0;  // up to the last whole record
  bool warned_ = false;
};

}  // namespace fathom
