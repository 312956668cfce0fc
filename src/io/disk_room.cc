#include "fathom/io/disk_room.h"

#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "fathom/base/error.h"
#include "fathom/io/checkpoint_directory.h"

namespace fathom {

namespace fs = std::filesystem;

uint64_t free_bytes(const fs::path& path) {
  fs::path existing = fs::absolute(path);
  std::error_code error;
  while (!fs::exists(existing, error) && existing.has_relative_path())
    existing = existing.parent_path();
  struct statvfs status {};
  if (::statvfs(existing.c_str(), &status) != 0)
    throw_disk_error("can't look up the free space of", existing.string(), errno);
  return uint64_t{status.f_bavail} * status.f_frsize;
}

namespace {

std::string human_bytes(uint64_t bytes) {
  constexpr double kKilo = 1e3, kMega = 1e6, kGiga = 1e9;
  const auto value = static_cast<double>(bytes);
  char text[32];
  if (value < 10 * kMega) {
    std::snprintf(text, sizeof text, "%.0f kB", value / kKilo);
  } else if (value < kGiga) {
    std::snprintf(text, sizeof text, "%.1f MB", value / kMega);
  } else {
    std::snprintf(text, sizeof text, "%.2f GB", value / kGiga);
  }
  return text;
}

/// The largest file that this process may write.
uint64_t largest_file() {
  rlimit limit{};
  const bool limited = ::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return limited ? limit.rlim_cur : UINT64_MAX;
}

constexpr const char* kAdvice = "make room, or choose another disk by train.out_dir";

/// The limit of a file's size that a process may have been given.
std::string check_file_size(const CheckpointBytes& bytes) {
  const uint64_t largest = largest_file();
  const std::string limit =
      cat("this process may write files of ", human_bytes(largest), " (ulimit -f)");
  if (largest < bytes.model)
    throw DiskError(
        cat(limit, ", and the model takes ", human_bytes(bytes.model), ": raise the limit"));
  if (largest < bytes.optimizer)
    return cat(limit, ", and the optimizer's state takes ", human_bytes(bytes.optimizer),
               ": only the model can be saved, at the end, and no run can go on from it; raise the "
               "limit");
  return "";
}

}  // namespace

void require_free_space(const fs::path& path, uint64_t bytes) {
  const uint64_t available = free_bytes(path);
  if (available < bytes)
    throw DiskError(cat(path.string(), ": ", human_bytes(available), " are free, ",
                        human_bytes(bytes), " are needed: make room or choose another disk"));
}

std::string check_room(const fs::path& root, const CheckpointBytes& bytes, int64_t keep_last,
                       int64_t num_saves) {
  if (std::string warning = check_file_size(bytes); !warning.empty()) return warning;
  const uint64_t available = free_bytes(root);
  const auto present = static_cast<int64_t>(find_checkpoints(root).size());
  const int64_t more =
      std::clamp<int64_t>(keep_last + 1 - present, 1, std::max<int64_t>(num_saves, 1));
  const uint64_t needed = static_cast<uint64_t>(more) * bytes.total();
  if (available >= needed) return "";
  const std::string found = cat(root.string(), ": ", human_bytes(available), " are free");
  if (available < bytes.model)
    throw DiskError(cat(found, ", and the model alone takes ", human_bytes(bytes.model_alone()),
                        ": ", kAdvice));
  if (available < bytes.total())
    return cat(found, ", and a checkpoint takes ", human_bytes(bytes.total()), ": only the model (",
               human_bytes(bytes.model_alone()),
               ") can be saved, at the end, and no run can go on from it; ", kAdvice);
  return cat(found, ", and the run needs ", human_bytes(needed), " there, for ", more,
             " more checkpoints (checkpoint.keep_last=", keep_last,
             ", and one that is being "
             "written); ",
             kAdvice, keep_last > 1 ? ", or lower checkpoint.keep_last" : "");
}

}  // namespace fathom
