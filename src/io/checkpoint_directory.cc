#include "fathom/io/checkpoint_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/internal/output_path.h"
#include "fathom/io/internal/manifest.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// What a directory is besides a published checkpoint: the middle of step-00001000.<kind>-<random>.
constexpr std::string_view kTemporary = "tmp";        // being written
constexpr std::string_view kReplaced = "old";         // makes place for one of the same step
constexpr std::string_view kTrash = "trash";          // being removed
constexpr std::string_view kAbandoned = "abandoned";  // set aside by set_aside_newer

std::string step_name(int64_t step) {
  std::string digits = std::to_string(step);
  digits.insert(0, digits.size() < 8 ? 8 - digits.size() : 0, '0');
  return "step-" + digits;
}

fs::path name_of_kind(const fs::path& root, int64_t step, std::string_view kind) {
  return root / cat(step_name(step), ".", kind, "-", random_suffix());
}

struct Entry {
  fs::path path;
  int64_t step = 0;
  std::string kind;  // empty for a published checkpoint
};

/// Nothing for directories that aren't ours.
std::optional<Entry> parse_entry(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::string base = name.substr(0, name.find('.'));
  constexpr std::string_view kPrefix = "step-";
  if (base.rfind(kPrefix, 0) != 0 || base.size() > kPrefix.size() + 18 ||
      base.find_first_not_of("0123456789", kPrefix.size()) != std::string::npos ||
      base.size() < kPrefix.size() + 8)
    return std::nullopt;
  Entry entry{path, std::stoll(base.substr(kPrefix.size())), ""};
  if (step_name(entry.step) != base) return std::nullopt;
  if (base.size() == name.size()) return entry;
  const std::string rest = name.substr(base.size() + 1);
  entry.kind = rest.substr(0, rest.find('-'));
  for (const std::string_view kind : {kTemporary, kReplaced, kTrash, kAbandoned}) {
    if (entry.kind == kind) return entry;
  }
  return std::nullopt;
}

std::vector<Entry> list(const fs::path& root) {
  std::vector<Entry> entries;
  std::error_code error;
  fs::directory_iterator directory(root, error);
  if (error == std::errc::no_such_file_or_directory) return entries;
  while (!error && directory != fs::directory_iterator()) {
    const std::optional<Entry> entry = parse_entry(directory->path());
    if (entry && directory->is_directory(error)) entries.push_back(*entry);
    if (!error) directory.increment(error);
  }
  if (error) throw_disk_error("can't list", root.string(), error.value());
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.step, a.kind) < std::tie(b.step, b.kind);
  });
  return entries;
}

void rename_directory(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw_disk_error(cat("can't rename ", from.string(), " to"), to.string(), errno);
}

bool is_there(const fs::path& path) {
  std::error_code error;
  const bool found = fs::exists(path, error);
  if (error) throw_disk_error("can't look up", path.string(), error.value());
  return found;
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw_disk_error("can't remove", path.string(), error.value());
}

void sync_file(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw_disk_error("can't open", path.string(), errno);
  const int result = ::fsync(descriptor);
  const int error_number = errno;
  ::close(descriptor);
  if (result != 0) throw_disk_error("can't sync", path.string(), error_number);
}

bool is_valid(const fs::path& directory, const StopFlag& stop) {
  try {
    verify(directory, stop);
    return true;
  } catch (const CheckpointError&) {
    return false;
  }
}

/// After a kill in the middle of CheckpointWriter::swap_in: gives a checkpoint that stepped aside
/// its name back, unless the one it made place for is there. @return whether it did
bool restore_replaced(const fs::path& root, const Entry& replaced, const StopFlag& stop) {
  const fs::path target = root / step_name(replaced.step);
  if (is_there(target)) {
    if (is_valid(target, stop) || !is_valid(replaced.path, stop)) return false;
    const fs::path trash = name_of_kind(root, replaced.step, kTrash);
    rename_directory(target, trash);
    remove_tree(trash);
  }
  rename_directory(replaced.path, target);
  sync_directory(root);
  return true;
}

/// model.safetensors, its shards or their index; not what only a resume reads.
bool is_weights_of_model(std::string_view name) {
  return name.starts_with("model") && name.find(".safetensors") != std::string_view::npos;
}

}  // namespace

CheckpointWriter::CheckpointWriter(const fs::path& root, int64_t step) : root_(root), step_(step) {
  if (step < 0) throw std::invalid_argument(cat("a checkpoint of step ", step));
  make_directories(root);
  int made = -1;
  while (made != 0) {
    const fs::path path = name_of_kind(root, step, kTemporary);
    made = ::mkdir(path.c_str(), 0755);
    if (made == 0) temporary_ = path;
    if (made != 0 && errno != EEXIST)
      throw_disk_error("can't create directory", path.string(), errno);
  }
}

CheckpointWriter::~CheckpointWriter() {
  std::error_code ignored;  // remove_leftovers will try again
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

fs::path CheckpointWriter::file(const std::string& name) const {
  if (!is_bare_name(name) || name == kManifestName)
    throw std::invalid_argument(cat("'", name, "' can't be a file of a checkpoint"));
  return temporary_ / name;
}

Checkpoint CheckpointWriter::publish() {
  const Manifest manifest = describe_directory(temporary_, step_);
  for (const auto& [name, file] : manifest.files) {
    sync_file(temporary_ / name);
    if (!is_bare_name(name)) sync_directory((temporary_ / name).parent_path());
  }
  sync_directory(temporary_);
  write_text_file(temporary_ / kManifestName, format_manifest(manifest));
  const fs::path target = root_ / step_name(step_);
  const fs::path replaced = swap_in(target);
  return {target, step_, settle(replaced)};
}

/// Renames the temporary directory to `target`. One that has the name steps aside under a name that
/// find_checkpoints knows, and comes back if the rename fails.
/// @returns that name, or ""
fs::path CheckpointWriter::swap_in(const fs::path& target) {
  fs::path replaced;
  if (is_there(target)) {
    replaced = name_of_kind(root_, step_, kReplaced);
    rename_directory(target, replaced);
  }
  try {
    rename_directory(temporary_, target);
  } catch (const DiskError&) {
    if (!replaced.empty()) rename_directory(replaced, target);
    throw;
  }
  temporary_.clear();
  return replaced;
}

/// Once it has its name, the checkpoint is there, whatever else fails.
/// @returns what did, or ""
std::string CheckpointWriter::settle(const fs::path& replaced) const {
  try {
    sync_directory(root_);
    if (replaced.empty()) return "";
    const fs::path trash = name_of_kind(root_, step_, kTrash);
    rename_directory(replaced, trash);
    std::error_code ignored;  // remove_leftovers will try again
    fs::remove_all(trash, ignored);
    return "";
  } catch (const DiskError& error) {
    return error.what();
  }
}

Checkpoint verify(const fs::path& directory, const StopFlag& stop, Verified what) {
  const Manifest manifest = read_manifest(directory);
  const std::optional<Entry> entry = parse_entry(directory);
  if (entry && entry->step != manifest.step)
    throw CheckpointError(
        cat(directory.string(), ": is of step ", manifest.step, ", by its manifest"));
  for (const auto& [name, file] : manifest.files) {
    if (what == Verified::all_files || is_weights_of_model(name))
      check_file(directory, name, file, stop);
  }
  return {directory, manifest.step};
}

std::vector<Checkpoint> find_checkpoints(const fs::path& root) {
  std::vector<Checkpoint> found;
  for (const Entry& entry : list(root)) {
    // Sorted: a published checkpoint comes before a replaced one of its step.
    const bool stands_in =
        entry.kind == kReplaced && (found.empty() || found.back().step != entry.step);
    if (entry.kind.empty() || stands_in) found.push_back({entry.path, entry.step});
  }
  return found;
}

std::optional<Checkpoint> newest_valid(const fs::path& root,
                                       std::vector<SkippedCheckpoint>& skipped,
                                       const StopFlag& stop, const Refusal& refuse, Verified what) {
  skipped.clear();
  std::vector<Checkpoint> found = find_checkpoints(root);
  std::reverse(found.begin(), found.end());
  for (const Checkpoint& checkpoint : found) {
    if (const std::string why = refuse ? refuse(checkpoint) : ""; !why.empty()) {
      skipped.push_back({checkpoint.directory, why});
      continue;
    }
    try {
      return verify(checkpoint.directory, stop, what);
    } catch (const CheckpointError& error) {
      skipped.push_back({checkpoint.directory, error.what()});
    }
  }
  if (skipped.empty()) return std::nullopt;
  std::vector<std::string> reasons;
  for (const SkippedCheckpoint& checkpoint : skipped) reasons.push_back(checkpoint.reason);
  const char* advice = what == Verified::weights
                           ? " can be used; name another run's directory or a model's. "
                           : " can be used; move them away to train from scratch. ";
  throw CheckpointError(cat("no checkpoint in ", root.string(), advice, join(reasons, "; ")));
}

void warn_of_edits(const fs::path& directory, const Log& log) {
  const std::optional<Manifest> manifest = find_manifest(directory);
  if (!manifest) return;
  for (const auto& [name, file] : manifest->files) {
    std::error_code ignored;
    if (name.ends_with(".safetensors")) continue;
    if (!fs::exists(directory / name, ignored)) {
      log.warn(cat((directory / name).string(),
                   " is missing: manifest.json lists it, so it was there when this checkpoint was "
                   "written; the directory is used without it"));
      continue;
    }
    try {
      check_file(directory, name, file, StopFlag());
    } catch (const CheckpointError&) {
      log.warn(cat((directory / name).string(),
                   " was changed since this checkpoint was written (manifest.json has another "
                   "checksum); it is used as it is now"));
    }
  }
}

std::vector<Checkpoint> keep_last(const fs::path& root, int64_t count, const StopFlag& stop) {
  if (count < 1) throw std::invalid_argument(cat("keep_last of ", count, " checkpoints"));
  std::vector<Checkpoint> found = find_checkpoints(root);
  std::vector<Checkpoint> removed;
  if (static_cast<int64_t>(found.size()) <= count) return removed;
  std::reverse(found.begin(), found.end());
  int64_t num_valid = 0;
  std::vector<fs::path> trash;
  for (const Checkpoint& checkpoint : found) {
    if (num_valid < count) {
      num_valid += is_valid(checkpoint.directory, stop) ? 1 : 0;
      continue;
    }
    trash.push_back(name_of_kind(root, checkpoint.step, kTrash));
    rename_directory(checkpoint.directory, trash.back());
    removed.push_back(checkpoint);
  }
  if (!trash.empty()) sync_directory(root);
  for (const fs::path& path : trash) remove_tree(path);
  return removed;
}

std::vector<fs::path> set_aside_newer(const fs::path& root, int64_t step) {
  std::vector<fs::path> renamed;
  for (const Checkpoint& checkpoint : find_checkpoints(root)) {
    if (checkpoint.step <= step) continue;
    renamed.push_back(name_of_kind(root, checkpoint.step, kAbandoned));
    rename_directory(checkpoint.directory, renamed.back());
  }
  if (!renamed.empty()) sync_directory(root);
  return renamed;
}

std::vector<fs::path> remove_leftovers(const fs::path& root, const StopFlag& stop) {
  std::vector<fs::path> removed;
  for (const Entry& entry : list(root)) {
    if (entry.kind.empty() || entry.kind == kAbandoned) continue;
    if (entry.kind == kReplaced && restore_replaced(root, entry, stop)) continue;
    remove_tree(entry.path);
    removed.push_back(entry.path);
  }
  if (!removed.empty()) sync_directory(root);
  return removed;
}

}  // namespace fathom
