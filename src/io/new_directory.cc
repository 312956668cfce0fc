#include "fathom/io/internal/new_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/internal/output_path.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

void rename_entry(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw_disk_error("can't create", to.string(), errno);
}

/// "out/" is "out": something is to be named beside it.
fs::path without_slash(const fs::path& path) {
  return path.has_filename() || !path.has_relative_path() ? path : path.parent_path();
}

}  // namespace

NewDirectory::NewDirectory(const fs::path& target)
    : target_(without_slash(resolve_output(target))) {
  std::error_code error;
  exists_ = fs::is_directory(target_, error);
  const fs::path name = exists_ ? target_ / ".new" : target_;
  const std::string own = name.filename().string();
  remove_temporaries(folder_of(name), [&](std::string_view other) { return other == own; });
  const bool taken = exists_ ? !fs::is_empty(target_, error) : fs::exists(target_, error);
  if (taken)
    throw ConfigError(
        cat("--output is ", target.string(), ", which exists already; name another, or remove it"));
  make_directories(folder_of(name));
  while (descriptor_ < 0) {
    temporary_ = temporary_name(name);
    if (::mkdir(temporary_.c_str(), 0755) != 0) {
      if (errno == EEXIST) continue;
      throw_disk_error("can't create directory", std::exchange(temporary_, {}).string(), errno);
    }
    descriptor_ = ::open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor_ >= 0 && !hold_temporary(descriptor_)) ::close(std::exchange(descriptor_, -1));
  }
}

NewDirectory::~NewDirectory() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
  ::close(descriptor_);
}

void NewDirectory::publish() {
  sync_directory(temporary_);
  if (exists_) {
    move_files();
  } else {
    rename_entry(temporary_, target_);
  }
  temporary_.clear();
  sync_directory(exists_ ? target_ : folder_of(target_));
}

void NewDirectory::move_files() {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(temporary_, error), end; !error && entry != end;
       entry.increment(error))
    files.push_back(entry->path());
  if (error) throw_disk_error("can't list", temporary_.string(), error.value());
  std::partition(files.begin(), files.end(),
                 [](const fs::path& file) { return file.filename() != "config.json"; });
  for (const fs::path& file : files) rename_entry(file, target_ / file.filename());
  if (::rmdir(temporary_.c_str()) != 0)
    throw_disk_error("can't remove", temporary_.string(), errno);
}

}  // namespace fathom
