#include "fathom/base/internal/output_path.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <random>
#include <vector>

#include "fathom/base/error.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporary = ".tmp-";

/// @throws DiskError unless the link may be followed
void check_link(const fs::path& link, const fs::path& target) {
  struct stat status {};
  if (::stat(link.c_str(), &status) != 0) {
    const int error_number = errno;
    if (error_number == ENOENT)
      throw DiskError(cat(link.string(), " is a link to ", target.string(),
                          ", which doesn't exist; make that folder, or remove the link"));
    if (error_number == ELOOP)
      throw DiskError(cat(link.string(), " is a link that leads back to itself; remove it"));
    throw_disk_error("can't follow the link", link.string(), error_number);
  }
  struct stat folder {};
  if (::lstat(link.c_str(), &status) != 0 || ::stat(folder_of(link).c_str(), &folder) != 0)
    throw_disk_error("can't look up", link.string(), errno);
  const bool own = status.st_uid == ::geteuid() || status.st_uid == 0;
  if (!own && (folder.st_mode & S_IWOTH) != 0)
    throw DiskError(cat(link.string(), " is another user's link to ", target.string(),
                        " in a folder that everyone may write; remove it, or name what it leads to "
                        "itself"));
}

/// "data.tokens" of "data.tokens.tmp-0123abcd", "" of other names.
std::string_view name_of_temporary(std::string_view name) {
  const size_t at = name.rfind(kTemporary);
  if (at == std::string_view::npos) return "";
  const std::string_view suffix = name.substr(at + kTemporary.size());
  const bool is_suffix =
      !suffix.empty() && suffix.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return is_suffix ? name.substr(0, at) : "";
}

}  // namespace

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

fs::path resolve_output(const fs::path& path) {
  std::vector<fs::path> rest(path.begin(), path.end());  // last first
  std::reverse(rest.begin(), rest.end());
  fs::path resolved;
  while (!rest.empty()) {
    const fs::path at = resolved / rest.back();
    rest.pop_back();
    std::error_code error;
    if (!fs::is_symlink(fs::symlink_status(at, error))) {
      resolved = at;
      continue;
    }
    const fs::path target = fs::read_symlink(at, error);
    if (error) throw_disk_error("can't read the link", at.string(), error.value());
    check_link(at, target);
    const std::vector<fs::path> parts(target.begin(), target.end());
    rest.insert(rest.end(), parts.rbegin(), parts.rend());
  }
  return resolved;
}

std::string random_suffix() {
  char hex[9];
  std::snprintf(hex, sizeof hex, "%08x", std::random_device()());
  return hex;
}

fs::path temporary_name(const fs::path& path) {
  return cat(path.string(), kTemporary, random_suffix());
}

bool hold_temporary(int descriptor) {
  struct stat status {};
  // A file system without locks keeps leftovers, as remove_temporaries can't take one either.
  const bool taken = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  return !taken && ::fstat(descriptor, &status) == 0 && status.st_nlink > 0;
}

void remove_temporaries(const fs::path& folder,
                        const std::function<bool(std::string_view name)>& is_ours) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string file = entry->path().filename().string();
    const std::string_view name = name_of_temporary(file);
    if (name.empty() || !is_ours(name)) continue;
    const int descriptor =
        ::open(entry->path().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) continue;
    std::error_code ignored;
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) fs::remove_all(entry->path(), ignored);
    ::close(descriptor);
  }
}

}  // namespace fathom
