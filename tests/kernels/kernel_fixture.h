// Runs a test with every version of the kernels, in every precision.
#pragma once

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>
#include <vector>

#include "base/test_seed.h"
#include "fathom/base/error.h"
#include "fathom/kernels/choice.h"
#include "fathom/kernels/cuda_library.h"
#include "kernels/cpu/rows.h"
#include "kernels/dispatch.h"
#include "kernels/formulas.h"

namespace fathom {

#ifdef FATHOM_EMULATED_CUDA
extern "C" const RowKernels* fathom_cuda_row_kernels();  // on tests/kernels/cuda_emulator
#endif

/// A version of the kernels.
struct Version {
  const char* name;
  Kernels kernels;
  int threads;
  torch::DeviceType device;
  const RowKernels* cpu_loops = &cpu_row_kernels();
};

inline bool has_gpu() { return std::filesystem::exists("/dev/nvidiactl"); }

inline std::vector<Version> versions() {
  std::vector<Version> all = {{"Reference", Kernels::reference, 2, torch::kCPU},
                              {"OneThread", Kernels::fused, 1, torch::kCPU},
                              {"TwoThreads", Kernels::fused, 2, torch::kCPU}};
#ifdef FATHOM_EMULATED_CUDA
  all.push_back({"EmulatedCuda", Kernels::fused, 1, torch::kCPU, fathom_cuda_row_kernels()});
#endif
  if (has_gpu()) all.push_back({"Gpu", Kernels::fused, 1, torch::kCUDA});
  return all;
}

class KernelTest : public testing::TestWithParam<std::tuple<torch::ScalarType, Version>> {
 protected:
  void SetUp() override {
    if (!runs_case()) GTEST_SKIP();
    if (version().device == torch::kCUDA) cuda_library();
    torch::manual_seed(test_seed());
    at::set_num_threads(version().threads);
    set_kernels(version().kernels);
    set_row_kernels(torch::kCPU, version().cpu_loops);
  }
  void TearDown() override {
    set_kernels(Kernels::automatic);
    set_row_kernels(torch::kCPU, &cpu_row_kernels());
    at::set_num_threads(threads_before_);
  }

  const Version& version() const { return std::get<Version>(GetParam()); }
  torch::ScalarType dtype() const { return std::get<torch::ScalarType>(GetParam()); }

  /// Normal numbers in float64, as the kernel will see them: rounding them isn't its error.
  torch::Tensor random(at::IntArrayRef shape) const {
    return torch::randn(shape, torch::kFloat64).to(dtype()).to(torch::kFloat64);
  }
  /// A tensor for the kernel, on its device.
  torch::Tensor given(const torch::Tensor& value) const { return value.to(device()).to(dtype()); }
  torch::Tensor given_leaf(const torch::Tensor& value) const {
    return leaf(value.to(device()), dtype());
  }
  torch::Device device() const { return version().device; }
  torch::TensorOptions options() const { return torch::TensorOptions(dtype()).device(device()); }
  /// The type of tables and statistics.
  torch::ScalarType wide() const {
    return dtype() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  }
  template <typename Formula>
  Expected expected(const Formula& formula) const {
    return expected_of(formula, dtype());
  }
  /// Expects the results of a kernel, in the formula's order; sums have up to `terms` terms.
  void expect_all_close(const std::vector<const char*>& names,
                        const std::vector<torch::Tensor>& values, const Expected& exact,
                        int64_t terms) const {
    ASSERT_EQ(values.size(), exact.values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(values[i].scalar_type(), dtype()) << names[i];
      expect_close(names[i], values[i], exact, i, {.stored = dtype(), .terms = terms});
    }
  }

 private:
  int threads_before_ = at::get_num_threads();
};

inline auto every_version() {
  return testing::Combine(testing::Values(torch::kFloat64, torch::kFloat32, torch::kBFloat16),
                          testing::ValuesIn(versions()));
}

inline std::string name_of_version(
    const testing::TestParamInfo<std::tuple<torch::ScalarType, Version>>& test) {
  return cat(c10::toString(std::get<torch::ScalarType>(test.param)),
             std::get<Version>(test.param).name);
}

}  // namespace fathom
