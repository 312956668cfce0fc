#include "fathom/runtime/cpu_allocator.h"

#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstring>
#include <thread>

namespace fathom {
namespace {

constexpr int64_t kMegabyte = 1 << 20;

class CpuAllocator : public testing::Test {
 protected:
  static void SetUpTestSuite() { use_caching_cpu_allocator(); }
  static torch::Tensor megabytes(int64_t n) { return torch::empty({n * kMegabyte}, torch::kUInt8); }
};

TEST_F(CpuAllocator, GivesFreedMemoryToTheNextTensorOfItsSize) {
  torch::Tensor first = megabytes(5);
  const void* memory = first.data_ptr();
  first.reset();
  EXPECT_GE(cpu_memory().cached, 5 * kMegabyte);
  EXPECT_EQ(megabytes(5).data_ptr(), memory);
}

TEST_F(CpuAllocator, AlignsAndCountsWhatIsInUse) {
  const size_t before = cpu_memory().in_use;
  const torch::Tensor small = megabytes(1), large = megabytes(7);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(small.data_ptr()) % 64, 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large.data_ptr()) % (2 * kMegabyte), 0);
  EXPECT_EQ(cpu_memory().in_use - before, 8 * kMegabyte);
}

TEST_F(CpuAllocator, HoldsLittleMoreThanWasEverInUseAtOnce) {
  for (int64_t size = 20; size < 80; ++size) megabytes(size);  // each another size
  const CpuMemory memory = cpu_memory();
  EXPECT_LE(memory.in_use + memory.cached,
            memory.most_in_use + memory.most_in_use / 10 + 32 * kMegabyte);
}

TEST_F(CpuAllocator, GivesPlainPointersToLibTorch) {  // as its bf16 products ask for them
  c10::Allocator* allocator = c10::GetCPUAllocator();
  const size_t before = cpu_memory().in_use;
  for (const int64_t bytes : {int64_t{100}, int64_t{8192}, 3 * kMegabyte}) {
    void* memory = allocator->raw_allocate(static_cast<size_t>(bytes));
    std::memset(memory, 1, static_cast<size_t>(bytes));
    allocator->raw_deallocate(memory);
  }
  EXPECT_EQ(cpu_memory().in_use, before);
}

TEST_F(CpuAllocator, ServesTensorsThatOtherThreadsFree) {
  const size_t before = cpu_memory().in_use;
  for (int i = 0; i < 50; ++i) {
    torch::Tensor made = torch::full({300'000}, i, torch::kFloat32);
    std::thread([moved = std::move(made), i] {
      EXPECT_EQ(moved.sum().item<double>(), 300'000.0 * i);
    }).join();
  }
  EXPECT_EQ(cpu_memory().in_use, before);
}

}  // namespace
}  // namespace fathom
