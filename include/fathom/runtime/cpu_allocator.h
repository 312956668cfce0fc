// Memory of CPU tensors, kept for the next one: a training step asks for the same sizes again and
// again, and each time the C library would return them to the kernel and fault them in anew.
#pragma once

#include <cstddef>

namespace fathom {

/// From now on LibTorch's CPU tensors of 256 KiB and more come from a cache, on huge pages where
/// the system allows it. What is held, in use or not, stays below 1.1 times the most that was in
/// use at once, plus 32 MiB. Calling it again changes nothing. Thread-safe.
void use_caching_cpu_allocator();

/// What the cache holds, in bytes.
struct CpuMemory {
  size_t in_use = 0;
  size_t cached = 0;       ///< free, kept for the next tensor
  size_t most_in_use = 0;  ///< at once, since the start
  size_t handed_out = 0;   ///< to all tensors since the start
};
CpuMemory cpu_memory();

}  // namespace fathom
