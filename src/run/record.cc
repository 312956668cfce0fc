#include "fathom/run/record.h"

#include <string>

#include "fathom/base/error.h"
#include "fathom/io/tensorboard.h"

namespace fathom {
namespace {

class MetricsSink : public Sink {
 public:
  MetricsSink(const std::filesystem::path& path, const std::optional<ResumePoint>& resume,
              const Log& log)
      : writer_(path, resume, log) {}
  void write(const RunRecord& record, const RecordTime& time) override {
    writer_.write(record.event(), time.step, time.tokens, record.values());
  }
  void sync() override { writer_.sync(); }

 private:
  MetricsWriter writer_;
};

class TensorBoardSink : public Sink {
 public:
  TensorBoardSink(const std::filesystem::path& directory, std::optional<int64_t> resume_step,
                  const Log& log)
      : writer_(directory, resume_step, log) {}
  void write(const RunRecord& record, const RecordTime& time) override {
    writer_.write(time.step, record.values());
  }

 private:
  TensorBoardWriter writer_;
};

class TerminalSink : public Sink {
 public:
  TerminalSink(Progress& progress, int64_t total_steps)
      : progress_(progress), total_steps_(total_steps) {}
  void write(const RunRecord& record, const RecordTime& time) override {
    record.show(progress_, time, cat("step ", time.step, "/", total_steps_));
  }

 private:
  Progress& progress_;
  int64_t total_steps_;
};

}  // namespace

std::unique_ptr<Sink> metrics_sink(const std::filesystem::path& path,
                                   const std::optional<ResumePoint>& resume, const Log& log) {
  return std::make_unique<MetricsSink>(path, resume, log);
}

std::unique_ptr<Sink> tensorboard_sink(const std::filesystem::path& directory,
                                       const std::optional<ResumePoint>& resume, const Log& log) {
  return std::make_unique<TensorBoardSink>(
      directory, resume ? std::optional(resume->step) : std::nullopt, log);
}

std::unique_ptr<Sink> terminal_sink(Progress& progress, int64_t total_steps) {
  return std::make_unique<TerminalSink>(progress, total_steps);
}

void Recorder::record(const RunRecord& record, const RecordTime& time) const {
  for (const std::unique_ptr<Sink>& sink : sinks_) sink->write(record, time);
}

void Recorder::sync() const {
  for (const std::unique_ptr<Sink>& sink : sinks_) sink->sync();
}

}  // namespace fathom
