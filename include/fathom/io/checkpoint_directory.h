// Checkpoint directories that survive kills, power cuts and full disks, whatever files they hold.
//
// A checkpoint is ROOT/step-00001000 with manifest.json, which holds the size and SHA-256 of each
// file and of itself. It is written as step-00001000.tmp-<random> and renamed when all of it is
// durable, so whatever happens, ROOT holds either the checkpoints of before or also the new one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fathom/base/log.h"
#include "fathom/base/stop.h"

namespace fathom {

/// A published checkpoint.
struct Checkpoint {
  std::filesystem::path directory;
  int64_t step = 0;
  std::string doubt = {};  ///< what failed after it was there: a power cut may yet undo it
};

/// A checkpoint that can't be used, and why, in words that name the file.
struct SkippedCheckpoint {
  std::filesystem::path directory;
  std::string reason;
};

/// Writes one checkpoint. What isn't published is removed again.
class CheckpointWriter {
 public:
  /// Creates ROOT (if need be) and the temporary directory in it. @throws DiskError
  CheckpointWriter(const std::filesystem::path& root, int64_t step);
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Where to write the file `name`, which has no directory part.
  std::filesystem::path file(const std::string& name) const;

  /// Hashes and fsyncs every file, writes the manifest, renames the directory, fsyncs ROOT. A
  /// checkpoint of the same step is replaced and stays usable until this one is. It reads all files
  /// once more to hash them (0.8 s a GB with SHA instructions) and doesn't stop for signals: it is
  /// what a run does before it ends on one.
  /// @throws DiskError; then the checkpoints of before are as they were. What fails once the
  /// checkpoint has its name is its `doubt`.
  Checkpoint publish();

 private:
  std::filesystem::path swap_in(const std::filesystem::path& target);
  std::string settle(const std::filesystem::path& replaced) const;

  std::filesystem::path root_;
  int64_t step_;
  std::filesystem::path temporary_;  // empty once published
};

/// Which files of a checkpoint have to be as they were written: those of a run that goes on, or the
/// weights of a model that is used, whose texts people edit.
enum class Verified { all_files, weights };

/// Checks the manifest, and size and SHA-256 of files (reads all of them).
/// @throws CheckpointError naming the file and what is wrong with it, or that a newer Fathom wrote
/// it; Interrupted
Checkpoint verify(const std::filesystem::path& directory, const StopFlag& stop,
                  Verified what = Verified::all_files);

/// Warns of each file beside the weights that isn't what the directory's manifest says, or isn't
/// there. @throws CheckpointError if the manifest is damaged
void warn_of_edits(const std::filesystem::path& directory, const Log& log);

/// The published checkpoints of ROOT, valid or not, by ascending step; none if ROOT doesn't exist.
/// @throws DiskError
std::vector<Checkpoint> find_checkpoints(const std::filesystem::path& root);

/// "", or why a checkpoint isn't wanted.
using Refusal = std::function<std::string(const Checkpoint&)>;

/// The valid checkpoint with the highest step; nothing if ROOT holds none at all.
/// @param skipped gets those with a higher step that aren't valid, or refused
/// @throws CheckpointError if there are checkpoints but none is valid: to train from scratch over
/// them is for the user to decide; DiskError, Interrupted
std::optional<Checkpoint> newest_valid(const std::filesystem::path& root,
                                       std::vector<SkippedCheckpoint>& skipped,
                                       const StopFlag& stop, const Refusal& refuse = {},
                                       Verified what = Verified::all_files);

/// Removes the checkpoints that are older than the newest `count` valid ones. Invalid ones don't
/// count, so at least `count` valid ones are left if there were as many. Verifies what it keeps
/// where there is something to remove. Call it when the newest has been published.
/// @return what was removed
/// @throws DiskError, Interrupted
std::vector<Checkpoint> keep_last(const std::filesystem::path& root, int64_t count,
                                  const StopFlag& stop);

/// Renames checkpoints beyond `step` to step-*.abandoned-<random>, where nothing finds them: for a
/// run that goes on from an older checkpoint, whose own would be older than theirs.
/// @return the new names
/// @throws DiskError
std::vector<std::filesystem::path> set_aside_newer(const std::filesystem::path& root, int64_t step);

/// Removes what a killed run left half-written or half-removed. Only for the run that holds the
/// lock of the output directory.
/// @return what was removed
/// @throws DiskError, Interrupted
std::vector<std::filesystem::path> remove_leftovers(const std::filesystem::path& root,
                                                    const StopFlag& stop);

}  // namespace fathom
