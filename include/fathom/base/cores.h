// How many threads can run at once, and how many do.
#pragma once

#include <cstdint>
#include <vector>

namespace fathom {

/// Cores that this process may use, at least 1: those of its CPU affinity, as taskset and srun set
/// it, which std::thread::hardware_concurrency ignores.
int64_t num_cores();

/// Threads for work that several can share: what `set_num_threads` said, or else this process's
/// share of its cores, at least 1.
/// @param processes of this host that share the cores
int64_t num_threads(int64_t processes = 1);

/// For the whole process, from the next piece of work on. @param threads at least 1
void set_num_threads(int64_t threads);

/// Keeps this thread, and those that it starts, to `num_threads()` cores while it lives: for a
/// library whose number of threads has an influence on its result.
class CoreLimit {
 public:
  CoreLimit();
  ~CoreLimit();
  CoreLimit(const CoreLimit&) = delete;
  CoreLimit& operator=(const CoreLimit&) = delete;

 private:
  std::vector<int> before_;  // cores; empty: nothing was changed
};

}  // namespace fathom
