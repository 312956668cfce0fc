#include "append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "fathom/base/error.h"

namespace fathom {

AppendFile::AppendFile(const std::filesystem::path& path, Mode mode, const Log& log)
    : path_(path), log_(log) {
  const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
  descriptor_ = ::open(path.c_str(), flags | (mode == Mode::kCreateNew ? O_EXCL : 0), 0644);
  if (descriptor_ < 0) throw_disk_error("can't open", path.string(), errno);
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) {
    const int error_number = errno;
    ::close(descriptor_);
    throw_disk_error("can't look up the size of", path.string(), error_number);
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void AppendFile::append(std::string_view record) {
  if (descriptor_ < 0) return;
  ssize_t written = -1;
  do {
    written = ::write(descriptor_, record.data(), record.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(record.size())) {
    size_ += record.size();
    return;
  }
  warn(written < 0 ? errno : ENOSPC);
  // A part of a record would spoil the next one; there may be room again later.
  if (::ftruncate(descriptor_, static_cast<off_t>(size_)) != 0)
    ::close(std::exchange(descriptor_, -1));
}

void AppendFile::sync() {
  if (descriptor_ >= 0 && ::fdatasync(descriptor_) != 0) warn(errno);
}

void AppendFile::warn(int error_number) {
  if (std::exchange(warned_, true)) return;
  log_.warn(cat("can't write ", path_.string(), ": ", std::strerror(error_number),
                "; the run goes on, and records may be missing there"));
}

}  // namespace fathom
