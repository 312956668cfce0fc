#include "fathom/io/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <string>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/internal/output_path.h"
#include "fathom/base/internal/quote.h"

namespace fathom {
namespace {

std::string holder() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host = {"unknown host"};
  std::array<char, 32> started{};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::strftime(started.data(), started.size(), "%Y-%m-%d %H:%M:%S UTC", &utc);
  return cat("process ", ::getpid(), " on ", host.data(), ", started ", started.data());
}

/// What the holder wrote; its first moments are before that.
std::string read_holder(int descriptor) {
  std::array<char, 400> text{};
  const ssize_t size = ::pread(descriptor, text.data(), text.size(), 0);
  if (size <= 0) return "another process";
  const std::string line(text.data(), static_cast<size_t>(size));
  return quote_name(line.substr(0, line.find('\n')));
}

/// A file with a second name is somebody else's, too: it is locked, and stays as it is.
void write_holder(int descriptor, const std::string& path) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
    throw DiskError(cat(path, " is no regular file; remove it"));
  if (status.st_nlink != 1) return;
  const std::string text = holder() + "\n";
  if (::ftruncate(descriptor, 0) != 0 ||
      ::pwrite(descriptor, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    throw_disk_error("can't write", path, errno);
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& directory) {
  make_directories(directory);
  const std::string path = (directory / "run.lock").string();
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor_ < 0 && errno == ELOOP) throw DiskError(cat(path, " is a link; remove it"));
  if (descriptor_ < 0) throw_disk_error("can't open", path, errno);
  try {
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) throw_disk_error("can't lock", path, errno);
      throw BusyError(cat(directory.string(), " is in use by ", read_holder(descriptor_),
                          "; stop that run or choose another train.out_dir"));
    }
    write_holder(descriptor_, path);
  } catch (const Error&) {
    ::close(descriptor_);
    throw;
  }
}

RunLock::~RunLock() { ::close(descriptor_); }

void require_writable(const std::filesystem::path& directory) {
  make_directories(directory);
  constexpr std::string_view kProbe = ".write-probe";
  remove_temporaries(directory, [&](std::string_view name) { return name.starts_with(kProbe); });
  const std::filesystem::path probe = directory / kProbe;
  write_text_file(probe, "probe");
  if (::unlink(probe.c_str()) != 0) throw_disk_error("can't remove", probe.string(), errno);
}

}  // namespace fathom
