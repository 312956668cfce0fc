#include "fathom/runtime/cpu_allocator.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

namespace fathom {
namespace {

constexpr size_t kSmallest = size_t{256} << 10;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSlack = size_t{32} << 20;

/// Sizes are rounded up to an eighth of their power of two, so that nearly equal ones share blocks.
size_t rounded(size_t bytes) {
  const size_t step = std::max<size_t>(std::bit_floor(bytes) / 8, 4096);
  return (bytes + step - 1) / step * step;
}

/// Memory of the system, on a boundary of huge pages where it is large enough for one.
void* map(size_t bytes) {
  const size_t spare = bytes >= kHugePage ? kHugePage : 0;
  void* memory =
      ::mmap(nullptr, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  if (spare == 0) return memory;
  auto* begin = static_cast<std::byte*>(memory);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(memory) % kHugePage) % kHugePage;
  if (before > 0) ::munmap(begin, before);
  if (before < spare) ::munmap(begin + before + bytes, spare - before);
  // Refused where the system has no huge pages: the memory is as good without.
  ::madvise(begin + before, bytes, MADV_HUGEPAGE);
  return begin + before;
}

class Cache {
 public:
  /// At least `bytes`, or null when there is no memory.
  void* take(size_t bytes) {
    const std::scoped_lock lock(mutex_);
    const size_t size = rounded(bytes);
    void* memory = nullptr;
    if (const auto found = free_.find(size); found != free_.end()) {
      memory = found->second.back();
      found->second.pop_back();
      if (found->second.empty()) free_.erase(found);
      memory_.cached -= size;
    } else {
      const size_t in_use = memory_.in_use + size;
      shrink(allowed(std::max(memory_.most_in_use, in_use)) - in_use);
      memory = map(size);
      if (memory == nullptr) {
        shrink(0);
        memory = map(size);
      }
    }
    if (memory == nullptr) return nullptr;
    memory_.in_use += size;
    memory_.handed_out += size;
    memory_.most_in_use = std::max(memory_.most_in_use, memory_.in_use);
    sizes_[memory] = size;
    return memory;
  }

  /// False if the memory was not taken here.
  bool give_back(void* memory) {
    const std::scoped_lock lock(mutex_);
    const auto taken = sizes_.find(memory);
    if (taken == sizes_.end()) return false;
    const size_t size = taken->second;
    sizes_.erase(taken);
    memory_.in_use -= size;
    memory_.cached += size;
    free_[size].push_back(memory);
    return true;
  }

  CpuMemory memory() {
    const std::scoped_lock lock(mutex_);
    return memory_;
  }

 private:
  static size_t allowed(size_t most_in_use) { return most_in_use + most_in_use / 10 + kSlack; }

  /// Returns the largest free blocks to the system until no more than `bytes` are cached.
  void shrink(size_t bytes) {
    while (memory_.cached > bytes) {
      const auto largest = std::prev(free_.end());
      ::munmap(largest->second.back(), largest->first);
      largest->second.pop_back();
      memory_.cached -= largest->first;
      if (largest->second.empty()) free_.erase(largest);
    }
  }

  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;  // by size
  std::unordered_map<void*, size_t> sizes_;    // of what is in use
  CpuMemory memory_;
};

/// Lives as long as the process: tensors may outlive every other static object.
Cache& cache() {
  static auto* only = new Cache;
  return *only;
}

/// Frees what `allocate` returned, whichever way it came.
void free_memory(void* memory) {
  constexpr uintptr_t kPage = 4096;  // that blocks of the cache begin on
  if (reinterpret_cast<uintptr_t>(memory) % kPage != 0 || !cache().give_back(memory))
    c10::free_cpu(memory);
}

class CachingAllocator : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* memory = bytes < kSmallest ? c10::alloc_cpu(bytes) : cache().take(bytes);
    if (memory == nullptr && bytes > 0) throw std::bad_alloc();
    return {memory, memory, &free_memory, c10::kCPU};
  }

  /// LibTorch's own buffers, such as those of bf16 products, come as plain pointers.
  c10::DeleterFnPtr raw_deleter() const override { return &free_memory; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
};

}  // namespace

void use_caching_cpu_allocator() {
  static CachingAllocator allocator;
  c10::SetCPUAllocator(&allocator, /*priority=*/1);
}

CpuMemory cpu_memory() { return cache().memory(); }

}  // namespace fathom
