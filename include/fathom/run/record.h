// What observers of a run find, and the places that it goes to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "fathom/base/log.h"
#include "fathom/base/progress.h"
#include "fathom/io/metrics.h"

namespace fathom {

/// When something was found.
struct RecordTime {
  int64_t step = 0;    ///< optimizer steps done
  int64_t tokens = 0;  ///< seen so far that weren't padding
};

/// Something that was found; each kind derives from it, beside the observer that finds it.
class RunRecord {
 public:
  virtual ~RunRecord() = default;
  /// "event" of the line in metrics.jsonl: train, eval, probe, sample, checkpoint or divergence.
  virtual std::string_view event() const = 0;
  /// The other values of that line; TensorBoard gets those that are numbers.
  virtual MetricValues values() const = 0;
  /// Shows it to people, where it is something for them. @param step "step 12/200"
  virtual void show(Progress& /*progress*/, const RecordTime& /*time*/,
                    const std::string& /*step*/) const {}
};

/// A place that records go to.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void write(const RunRecord& record, const RecordTime& time) = 0;
  /// Makes what was written durable.
  virtual void sync() {}
};

/// OUT/metrics.jsonl. @param resume what the run goes on from; nothing for a new run
std::unique_ptr<Sink> metrics_sink(const std::filesystem::path& path,
                                   const std::optional<ResumePoint>& resume, const Log& log);
/// Event files in OUT/tb.
std::unique_ptr<Sink> tensorboard_sink(const std::filesystem::path& directory,
                                       const std::optional<ResumePoint>& resume, const Log& log);
/// Lines and the bar. @param progress outlives it
std::unique_ptr<Sink> terminal_sink(Progress& progress, int64_t total_steps);

/// Gives records to all sinks; ranks that don't write have none.
class Recorder {
 public:
  void add(std::unique_ptr<Sink> sink) { sinks_.push_back(std::move(sink)); }
  void record(const RunRecord& record, const RecordTime& time) const;
  /// Call it before a checkpoint is published: a resume then finds all records up to its step, also
  /// after a power cut.
  void sync() const;

 private:
  std::vector<std::unique_ptr<Sink>> sinks_;
};

}  // namespace fathom
