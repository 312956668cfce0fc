#include <ucontext.h>

#include <memory>
#include <vector>

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#define FATHOM_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FATHOM_ADDRESS_SANITIZER
#endif
#endif
#ifdef FATHOM_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {
namespace {

constexpr size_t kStackBytes = size_t{128} << 10;
constexpr unsigned kWarp = 32;
constexpr unsigned kMostThreads = 1024;

enum class State { ready, waits_for_block, waits_for_warp, ended };

struct Fiber {
  ucontext_t context;
  State state;
  dim3 index;
  unsigned exchanges;  // how many it took part in
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
};

/// A block of threads, and the fiber that runs now.
class Block {
 public:
  /// Whether all threads came to their end.
  bool run(const dim3& shape, const std::function<void()>& kernel) {
    kernel_ = &kernel;
    count_ = shape.x * shape.y * shape.z;
    while (fibers_.size() < count_) fibers_.push_back(std::make_unique<Fiber>());
    for (unsigned i = 0; i < count_; ++i)
      start(*fibers_[i], dim3(i % shape.x, i / shape.x % shape.y, i / shape.x / shape.y));
    do {
      for (unsigned i = 0; i < count_; i += kWarp) run_warp(i);
    } while (release(0, count_, State::waits_for_block));
    return all(0, count_, State::ended);
  }

  /// Of the running fiber: gives way until `state` is over.
  void wait(State state) {
    Fiber& fiber = *fibers_[current_];
    fiber.state = state;
    switch_to_scheduler(fiber, false);
  }

  uint32_t exchange(uint32_t bits, unsigned lanes) {
    const unsigned lane = current_ % kWarp, warp = current_ - lane;
    // In turns: when a place is written again, all have read it.
    const unsigned turn = fibers_[current_]->exchanges++ % 2;
    exchanged_[turn][current_] = bits;
    wait(State::waits_for_warp);
    return exchanged_[turn][warp + (lane ^ lanes)];
  }

 private:
  bool all(unsigned begin, unsigned end, State state) const {
    for (unsigned i = begin; i < end; ++i)
      if (fibers_[i]->state != state) return false;
    return true;
  }

  /// As far as possible before any other warp goes on, which shows races between warps.
  void run_warp(unsigned begin) {
    const unsigned end = std::min(begin + kWarp, count_);
    do {
      for (unsigned i = begin; i < end; ++i)
        if (fibers_[i]->state == State::ready) enter(i);
    } while (end - begin == kWarp && release(begin, end, State::waits_for_warp));
  }

  /// Lets threads go on that all wait for each other. Whether they do.
  bool release(unsigned begin, unsigned end, State state) {
    if (!all(begin, end, state)) return false;
    for (unsigned i = begin; i < end; ++i) fibers_[i]->state = State::ready;
    return true;
  }

  void start(Fiber& fiber, const dim3& index) {
    fiber.state = State::ready;
    fiber.index = index;
    fiber.exchanges = 0;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, &Block::run_fiber, 0);
#ifdef FATHOM_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(fiber.stack.get(), kStackBytes);
#endif
  }

  static void run_fiber();

  void enter(unsigned i) {
    current_ = i;
    threadIdx = fibers_[i]->index;
#ifdef FATHOM_ADDRESS_SANITIZER
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, fibers_[i]->stack.get(), kStackBytes);
#endif
    swapcontext(&scheduler_, &fibers_[i]->context);
#ifdef FATHOM_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
  }

  void switch_to_scheduler(Fiber& fiber, bool ends) {
#ifdef FATHOM_ADDRESS_SANITIZER
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(ends ? nullptr : &fake_stack, scheduler_stack_,
                                   scheduler_stack_bytes_);
#endif
    if (ends) setcontext(&scheduler_);
    swapcontext(&fiber.context, &scheduler_);
#ifdef FATHOM_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
  }

  std::vector<std::unique_ptr<Fiber>> fibers_;
  unsigned count_ = 0, current_ = 0;
  const std::function<void()>* kernel_ = nullptr;
  ucontext_t scheduler_;
  uint32_t exchanged_[2][kMostThreads];
#ifdef FATHOM_ADDRESS_SANITIZER
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
#endif
};

thread_local Block block;

void Block::run_fiber() {
#ifdef FATHOM_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack_, &block.scheduler_stack_bytes_);
#endif
  (*block.kernel_)();
  Fiber& fiber = *block.fibers_[block.current_];
  fiber.state = State::ended;
  block.switch_to_scheduler(fiber, true);
}

bool is_valid(const cudaLaunchConfig_t& config) {
  const dim3 &grid = config.gridDim, &threads = config.blockDim;
  return grid.x > 0 && grid.x <= 0x7fffffff && grid.y > 0 && grid.y <= 65535 && grid.z > 0 &&
         grid.z <= 65535 && threads.x > 0 && threads.y > 0 && threads.z > 0 && threads.z <= 64 &&
         uint64_t{threads.x} * threads.y * threads.z <= kMostThreads;
}

}  // namespace

cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& kernel) {
  if (!is_valid(config)) return cudaErrorInvalidConfiguration;
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
        if (!block.run(config.blockDim, kernel)) return cudaErrorLaunchFailure;
  return cudaSuccess;
}

void wait_for_block() { block.wait(State::waits_for_block); }

uint32_t exchange(uint32_t bits, unsigned lanes) { return block.exchange(bits, lanes); }

}  // namespace emulator

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorLaunchFailure:
      return "not all threads reach a barrier";
  }
  return "unknown error";
}
