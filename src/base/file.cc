#include "fathom/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/internal/output_path.h"

namespace fathom {
namespace {

/// What version control leaves in place of a large file that it hasn't fetched: a few lines of
/// text.
struct Placeholder {
  std::string_view start;
  std::string_view name;
  std::string_view fetch;
};
constexpr std::array kPlaceholders = {
    Placeholder{"version https://git-lfs.github.com/spec/", "a Git LFS pointer", "git lfs pull"},
    Placeholder{"version https://hawser.github.com/spec/", "a Git LFS pointer", "git lfs pull"},
    Placeholder{"/annex/objects/", "a git-annex pointer", "git annex get ."}};
constexpr uint64_t kLongestPlaceholder = 1023;  // the specification of Git LFS: below 1,024 bytes

void refuse_placeholder(int descriptor, const std::filesystem::path& path) {
  std::array<char, 64> bytes;
  const ssize_t n = ::pread(descriptor, bytes.data(), bytes.size(), 0);
  const std::string_view text(bytes.data(), n < 0 ? 0 : static_cast<size_t>(n));
  for (const Placeholder& row : kPlaceholders) {
    if (!text.starts_with(row.start)) continue;
    const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
    throw DataError(cat(path.string(), " is ", row.name, ", not the file itself: run ", row.fetch,
                        " in ", folder, ", or download the file"));
  }
}

/// Opens a regular file for reading. O_NONBLOCK: opening a FIFO would wait for a writer.
int open_regular(const std::filesystem::path& path, uint64_t& size) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) throw_disk_error("can't open", path.string(), errno);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    throw DiskError(cat("can't open ", path.string(), ": not a regular file"));
  }
  size = static_cast<uint64_t>(status.st_size);
  try {
    if (size <= kLongestPlaceholder) refuse_placeholder(descriptor, path);
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  return descriptor;
}

/// Closes a file at the end of a scope; -1: none.
struct Descriptor {
  explicit Descriptor(int number_in) : number(number_in) {}
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int number;
};

/// Retries writes that were interrupted or came out short.
template <typename WriteSome>
void write_fully(std::span<const std::byte> bytes, const std::filesystem::path& path,
                 const WriteSome& write_some) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write_some(bytes.subspan(done), done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_disk_error("can't write", path.string(), errno);
    done += static_cast<size_t>(n);
  }
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path)
    : path_(path), descriptor_(open_regular(path, size_)) {}

InputFile::~InputFile() { ::close(descriptor_); }

size_t InputFile::read(std::span<std::byte> buffer) {
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n = ::read(descriptor_, buffer.data() + done, buffer.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_disk_error("can't read", path_.string(), errno);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

std::string read_text_file(const std::filesystem::path& path, uint64_t limit) {
  InputFile file(path);
  if (file.size() > limit)
    throw DiskError(cat(path.string(), " has ", file.size(), " bytes; at most ", limit,
                        " are read: is it the right file?"));
  std::string text(file.size(), '\0');
  text.resize(file.read(std::as_writable_bytes(std::span(text))));
  return text;
}

bool may_hold_open(size_t num_files) {
  constexpr size_t kOthers = 64;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  return 3 * num_files + kOthers <= limit.rlim_cur;
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  uint64_t size = 0;
  descriptor_ = open_regular(path, size);
  if (size == 0) return;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor_, 0);
  if (address == MAP_FAILED) {
    const int error_number = errno;
    ::close(descriptor_);
    throw_disk_error("can't map", path.string(), error_number);
  }
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  if (descriptor_ >= 0) ::close(descriptor_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void MappedFile::close_descriptor() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

void MappedFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  uint64_t size = 0;
  const Descriptor reopened(descriptor_ < 0 ? open_regular(path_, size) : -1);
  const int descriptor = descriptor_ < 0 ? reopened.number : descriptor_;
  while (!out.empty()) {
    const ssize_t n = ::pread(descriptor, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_disk_error("can't read", path_.string(), errno);
    if (n == 0)
      throw DiskError(cat(path_.string(), " ends at byte ", offset, ": it was cut short"));
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

OutputFile::OutputFile(const std::filesystem::path& path) : path_(path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    throw DiskError(cat(path.string(), " is a folder; name a file in it"));
  const std::string own = path.filename().string();
  remove_temporaries(folder_of(path), [&](std::string_view name) { return name == own; });
  while (descriptor_ < 0) {
    temporary_ = temporary_name(path);
    // O_EXCL: whatever has that name, a link most of all, isn't ours.
    descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor_ < 0 && errno != EEXIST)
      throw_disk_error("can't create", temporary_.string(), errno);
    if (descriptor_ >= 0 && !hold_temporary(descriptor_))
      ::close(std::exchange(descriptor_, -1));  // another process took it for a leftover
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) {
  write_fully(bytes, path_, [this](std::span<const std::byte> rest, size_t) {
    return ::write(descriptor_, rest.data(), rest.size());
  });
  bytes_written_ += bytes.size();
}

void OutputFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  write_fully(bytes, path_, [&](std::span<const std::byte> rest, size_t done) {
    return ::pwrite(descriptor_, rest.data(), rest.size(), static_cast<off_t>(offset + done));
  });
}

void OutputFile::publish() {
  if (::fsync(descriptor_) != 0) throw_disk_error("can't sync", path_.string(), errno);
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (closed != 0) throw_disk_error("can't close", path_.string(), errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    throw_disk_error("can't rename to", path_.string(), errno);
  temporary_.clear();
  sync_directory(folder_of(path_));
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.publish();
}

void sync_directory(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw_disk_error("can't open directory", path.string(), errno);
  const int result = ::fsync(descriptor);
  const int error_number = errno;
  ::close(descriptor);
  if (result != 0) throw_disk_error("can't sync directory", path.string(), error_number);
}

void make_directories(const std::filesystem::path& path) {
  const std::filesystem::path real = resolve_output(path);
  std::error_code error;
  if (std::filesystem::exists(real, error) && !std::filesystem::is_directory(real, error))
    throw DiskError(cat("can't create directory ", path.string(), ": ", real.string(),
                        " is a file; name another folder, or move the file away"));
  std::filesystem::create_directories(real, error);
  if (error) throw_disk_error("can't create directory", path.string(), error.value());
}

}  // namespace fathom
