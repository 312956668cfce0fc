// Learning rate as a pure function of the step.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/config/run_config.h"

namespace fathom {

/// A row of the table of schedules.
struct Schedule {
  std::string_view name;
  /// Learning rate over the peak after warm-up: of step `step` (from 1) of `total`. Of the config,
  /// warmup_steps and min_lr_ratio are set, whichever way they were given.
  double (*ratio)(const SchedulerConfig&, int64_t step, int64_t total);
  std::string_view formula;
  std::vector<std::string> options;  ///< keys of lr_scheduler that it reads
};

/// All schedules that `lr_scheduler.type` can name.
std::span<const Schedule> schedules();

/// Learning rate of step `step`, which counts from 1 to `total`. Warm-up is linear: step s of W has
/// s / W of the peak; the last step has the schedule's last value.
/// @throws ConfigError for an unknown schedule
double learning_rate(const SchedulerConfig& config, double peak, int64_t step, int64_t total);

}  // namespace fathom
