#include "fathom/base/cores.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <thread>

namespace fathom {
namespace {

std::atomic<int64_t> chosen_threads{0};  // 0: by cores

}  // namespace

int64_t num_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1U, std::thread::hardware_concurrency());
}

int64_t num_threads(int64_t processes) {
  const int64_t chosen = chosen_threads.load();
  return chosen > 0 ? chosen : std::max<int64_t>(1, num_cores() / processes);
}

void set_num_threads(int64_t threads) { chosen_threads.store(threads); }

}  // namespace fathom
