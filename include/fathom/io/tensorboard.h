// TensorBoard event files, written without TensorFlow or protobuf.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "fathom/base/log.h"
#include "fathom/io/metrics.h"

namespace fathom {

class AppendFile;

/// Writes scalars to a new event file, events.out.tfevents.<time>.<host>.<pid>.<n>. Nothing it does
/// throws: TensorBoard is a convenience, and metrics.jsonl has the same numbers.
class TensorBoardWriter {
 public:
  /// @param resume_step the step that the run goes on from: TensorBoard then drops what earlier
  /// files say of later steps
  /// @param log gets one warning if nothing can be written
  TensorBoardWriter(const std::filesystem::path& directory, std::optional<int64_t> resume_step,
                    const Log& log);
  ~TensorBoardWriter();

  /// Writes the values that are numbers, as float32, in one event with one system call: those of a
  /// list as "tag/01", "tag/02", ...
  void write(int64_t step, const MetricValues& values);

 private:
  std::unique_ptr<AppendFile> file_;
};

}  // namespace fathom
