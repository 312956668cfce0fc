// How many threads can run at once.
#pragma once

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <thread>

namespace fathom {

/// Cores that this process may use, at least 1: those of its CPU affinity, as taskset and srun set
/// it, which std::thread::hardware_concurrency ignores.
inline int64_t num_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace fathom
