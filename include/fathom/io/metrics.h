// metrics.jsonl: what a run measured, one JSON object a line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "fathom/base/json.h"
#include "fathom/base/log.h"

namespace fathom {

/// Numbers by layer, or by layer and distance: arrays in arrays.
struct MetricArray {
  Json numbers;
};

/// {"train/loss", 2.3}: a name and what was measured.
using MetricValue = std::variant<int64_t, double, std::string, MetricArray>;
using MetricValues = std::vector<std::pair<std::string, MetricValue>>;

class AppendFile;

/// The checkpoint that a run goes on from.
struct ResumePoint {
  int64_t step;
  /// The last step of which it knows records of a kind that comes now and then: "eval", or with the
  /// record's name "probe/variance".
  std::map<std::string, int64_t> last = {};
};

/// Appends records: {"event", "step", "tokens", "time", then the values}. "time" is in seconds
/// since 1970. A value that isn't finite is null, and its name is in the list "nonfinite".
class MetricsWriter {
 public:
  /// @param resume what the run goes on from: records that the checkpoint doesn't know of and a
  /// torn last line are dropped, atomically; nothing for a new run, which replaces the file
  /// @param log gets one warning if the file can't be written later; that never ends a run
  /// @throws DiskError if the file can't be opened
  MetricsWriter(const std::filesystem::path& path, std::optional<ResumePoint> resume,
                const Log& log);
  ~MetricsWriter();

  /// Writes a line with one system call, so that a kill leaves at most one torn line, the last.
  /// @param event train, eval, probe, sample, checkpoint or divergence
  /// @param tokens positions trained on so far
  /// @throws std::invalid_argument for a name that comes twice or is one of the record's own
  void write(std::string_view event, int64_t step, int64_t tokens, const MetricValues& values);

  /// Makes the records durable. Call it before a checkpoint is published: a resume then finds all
  /// records up to its step, also after a power cut.
  void sync();

 private:
  std::unique_ptr<AppendFile> file_;
};

/// The records of a file. A torn last line is left out.
/// @throws DataError naming file and line of anything else that isn't a record, DiskError
std::vector<Json> read_metrics(const std::filesystem::path& path);

}  // namespace fathom
