#include "fathom/train/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "fathom/base/names.h"

namespace fathom {
namespace {

/// How far the steps after warm-up have come: 1 at the last.
double progress(const SchedulerConfig& config, int64_t step, int64_t total) {
  return static_cast<double>(step - config.warmup_steps) /
         static_cast<double>(std::max<int64_t>(total - config.warmup_steps, 1));
}

double cosine(const SchedulerConfig& config, int64_t step, int64_t total) {
  const double wave = 0.5 * (1 + std::cos(std::numbers::pi * progress(config, step, total)));
  return config.min_lr_ratio + (1 - config.min_lr_ratio) * wave;
}

double linear(const SchedulerConfig& config, int64_t step, int64_t total) {
  return 1 - (1 - config.min_lr_ratio) * progress(config, step, total);
}

double wsd(const SchedulerConfig& config, int64_t step, int64_t total) {
  const int64_t decay = config.decay_steps.value_or(std::max<int64_t>(total / 10, 1));
  const double done = static_cast<double>(step - (total - decay)) / static_cast<double>(decay);
  return 1 - (1 - config.min_lr_ratio) * std::clamp(done, 0.0, 1.0);
}

double constant(const SchedulerConfig&, int64_t, int64_t) { return 1; }

const std::array kSchedules = {
    Schedule{"cosine",
             &cosine,
             "half a cosine from the peak to min_lr_ratio of it",
             {"warmup_steps", "min_lr_ratio"}},
    Schedule{"linear",
             &linear,
             "a line from the peak to min_lr_ratio of it",
             {"warmup_steps", "min_lr_ratio"}},
    Schedule{"wsd",
             &wsd,
             "the peak, then a line to min_lr_ratio of it over decay_steps",
             {"warmup_steps", "min_lr_ratio", "decay_steps"}},
    Schedule{"constant", &constant, "the peak", {"warmup_steps"}},
};

}  // namespace

std::span<const Schedule> schedules() { return kSchedules; }

double learning_rate(const SchedulerConfig& given, double peak, int64_t step, int64_t total) {
  SchedulerConfig config = given;
  config.warmup_steps = given.warmup(total);
  config.min_lr_ratio = given.last_ratio(peak);
  if (step <= config.warmup_steps)
    return peak * static_cast<double>(step) / static_cast<double>(config.warmup_steps);
  return peak * find_row(schedules(), config.type, "lr_scheduler.type").ratio(config, step, total);
}

}  // namespace fathom
