// Whether a disk holds what a run will save, before the run works for it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace fathom {

/// Bytes of a checkpoint: the model, which is useful alone, and what a resume needs beside it.
struct CheckpointBytes {
  uint64_t model = 0;      ///< weights
  uint64_t optimizer = 0;  ///< moments
  uint64_t other = 0;      ///< all small files
  uint64_t model_alone() const { return model + other; }
  uint64_t total() const { return model + optimizer + other; }
};

/// Bytes that this user may still write to the file system of `path`, which may not exist yet.
/// @throws DiskError
uint64_t free_bytes(const std::filesystem::path& path);

/// @param path a file or directory that exists or is to be made
/// @throws DiskError if its file system has less than `bytes` free for this user
void require_free_space(const std::filesystem::path& path, uint64_t bytes);

/// Compares what a run saves with the free space, and its largest file with the process's limit of
/// a file's size. The checkpoints that are kept, the one that is being written, and those that are
/// there already count.
/// @param root OUT/checkpoints
/// @param num_saves how many checkpoints the run will write
/// @returns a warning that says what to do, or ""
/// @throws DiskError if not even the model alone can be saved
std::string check_room(const std::filesystem::path& root, const CheckpointBytes& bytes,
                       int64_t keep_last, int64_t num_saves);

}  // namespace fathom
