#include "run/observers/training.h"

#include <cstdio>

#include "fathom/model/cost.h"
#include "fathom/runtime/device.h"

namespace fathom::observer {
namespace {

struct TrainRecord : RunRecord {
  double loss = 0;
  double lr = 0;
  double gradient_norm = 0;
  double tokens_per_second = 0;
  double seconds = 0;  ///< of a step
  int64_t peak_memory = 0;
  double mfu = 0;  ///< 0 where the device's peak isn't known

  std::string_view event() const override { return "train"; }
  MetricValues values() const override {
    MetricValues values = {{"train/loss", loss},
                           {"train/lr", lr},
                           {"train/grad_norm", gradient_norm},
                           {"perf/tokens_per_second", tokens_per_second},
                           {"perf/step_ms", seconds * 1000},
                           {"perf/peak_memory_bytes", peak_memory}};
    if (mfu > 0) values.emplace_back("perf/mfu", mfu);
    return values;
  }
  void show(Progress& progress, const RecordTime& time, const std::string&) const override {
    progress.report(static_cast<double>(time.step), details());
  }

  /// What people look at first comes first: a narrow terminal cuts the rest.
  std::string details() const {
    char text[160];
    const char* pattern = tokens_per_second < 100 ? "loss %.4f %.3g tok/s lr %.3g grad_norm %.3g"
                                                  : "loss %.4f %.0f tok/s lr %.3g grad_norm %.3g";
    std::snprintf(text, sizeof text, pattern, loss, tokens_per_second, lr, gradient_norm);
    std::string details = text;
    if (mfu > 0) {
      std::snprintf(text, sizeof text, " mfu %.1f%%", 100 * mfu);
      details += text;
    }
    return details;
  }
};

/// Reading the loss waits for the device, so it happens every log.interval steps only; the bar
/// moves at each.
class Training : public Observer {
 public:
  explicit Training(const RunContext& run)
      : run_(run),
        interval_(run.config.log.interval),
        flops_per_token_(
            training_flops_per_token(run.config.model, run.config.data.sequence_length) /
            static_cast<double>(run.parallel.size())) {}

  std::string name() const override { return "train"; }
  bool reads(int64_t step) const override { return step % interval_ == 0; }

  void on_start(TrainState& state) override {
    if (run_.writes()) run_.progress->update(static_cast<double>(state.step), "starting");
  }

  void on_step(const StepEvent& event) override {
    if (!run_.writes()) return;
    seconds_ += event.seconds;
    ++steps_;
    if (!reads(event.state.step))
      return run_.progress->update(static_cast<double>(event.state.step), details_);
    const TrainRecord record = measure(event);
    details_ = record.details();
    run_.record(record, event.state);
    seconds_ = 0;
    steps_ = 0;
  }

 private:
  TrainRecord measure(const StepEvent& event) const {
    TrainRecord record;
    const torch::Device device = event.state.model->device();
    record.loss = event.result.loss.item<double>();
    record.gradient_norm = event.result.gradient_norm.item<double>();
    record.lr = event.lr;
    record.seconds = seconds_ / static_cast<double>(steps_);
    record.tokens_per_second = static_cast<double>(event.batch_tokens) / record.seconds;
    record.peak_memory = peak_memory_bytes(device);
    const double peak = peak_flops(device, event.state.model->compute_dtype());
    if (peak > 0) record.mfu = record.tokens_per_second * flops_per_token_ / peak;
    return record;
  }

  const RunContext& run_;
  int64_t interval_;
  double flops_per_token_;  // of this rank's share, for MFU
  std::string details_;
  double seconds_ = 0;  // of the steps since the last record: evaluations don't count
  int64_t steps_ = 0;
};

}  // namespace

Observers training(const RunContext& run) {
  Observers made;
  made.push_back(std::make_unique<Training>(run));
  return made;
}

}  // namespace fathom::observer
