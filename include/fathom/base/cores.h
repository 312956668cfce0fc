// How many threads can run at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>

namespace fathom {

/// Cores that this process may use (its CPU affinity counts), at least 1.
inline int64_t num_cores() { return std::max(1U, std::thread::hardware_concurrency()); }

}  // namespace fathom
