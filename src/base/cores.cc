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

CoreLimit::CoreLimit() {
  cpu_set_t all, some;
  if (::sched_getaffinity(0, sizeof all, &all) != 0) return;
  CPU_ZERO(&some);
  for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&some) < num_threads(); ++core) {
    if (CPU_ISSET(core, &all)) CPU_SET(core, &some);
  }
  if (::sched_setaffinity(0, sizeof some, &some) != 0) return;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &all)) before_.push_back(core);
  }
}

CoreLimit::~CoreLimit() {
  cpu_set_t all;
  CPU_ZERO(&all);
  for (const int core : before_) CPU_SET(core, &all);
  if (!before_.empty()) ::sched_setaffinity(0, sizeof all, &all);
}

}  // namespace fathom
