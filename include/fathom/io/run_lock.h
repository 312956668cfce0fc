// One run at a time in an output directory, and an early answer to whether it can be written.
#pragma once

#include <filesystem>

namespace fathom {

/// Holds the lock of an output directory for its own life. The kernel releases it when the process
/// ends, however it ends, so a lock is never stale.
class RunLock {
 public:
  /// Creates the directory if need be, locks DIRECTORY/run.lock and writes pid, host and start time
  /// into it.
  /// @throws BusyError that names the holder, DiskError
  explicit RunLock(const std::filesystem::path& directory);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_;
};

/// Creates, writes, syncs, renames and removes a file in `directory` (made if need be), so that a
/// run that can't save fails before it works.
/// @throws DiskError
void require_writable(const std::filesystem::path& directory);

}  // namespace fathom
