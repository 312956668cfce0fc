// Runs a test with every version of the kernels, in every precision.
#pragma once

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <random>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/kernels/choice.h"
#include "fathom/kernels/cuda_library.h"
#include "kernels/dispatch.h"

namespace fathom {

struct Tolerance {
  torch::ScalarType dtype;
  double value;  // relative, of the whole tensor
};

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

inline torch::Tensor leaf(const torch::Tensor& value, torch::ScalarType dtype) {
  return value.detach().to(dtype).clone().set_requires_grad(true);
}

/// Of a tensor on any device, from one on the CPU in float64.
inline double relative_error(const torch::Tensor& value, const torch::Tensor& expected) {
  const torch::Tensor here = value.detach().cpu().to(torch::kFloat64);
  return ((here - expected).norm() / expected.norm().clamp_min(1e-300)).item<double>();
}

/// Inputs are new in each run; a failure shows their seed.
class KernelTest : public testing::TestWithParam<std::tuple<Tolerance, Version>> {
 protected:
  void SetUp() override {
    if (version().device == torch::kCUDA) cuda_library();
    const uint64_t seed = std::random_device{}();
    torch::manual_seed(seed);
    trace_ = std::make_unique<testing::ScopedTrace>(__FILE__, __LINE__, cat("seed ", seed));
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
  double tolerance() const { return std::get<Tolerance>(GetParam()).value; }
  torch::ScalarType dtype() const { return std::get<Tolerance>(GetParam()).dtype; }

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
  void expect_close(const char* what, const torch::Tensor& value, const torch::Tensor& expected) {
    EXPECT_EQ(value.scalar_type(), dtype()) << what;
    EXPECT_LE(relative_error(value, expected), tolerance()) << what;
  }

 private:
  int threads_before_ = at::get_num_threads();
  std::unique_ptr<testing::ScopedTrace> trace_;
};

inline auto every_version() {
  return testing::Combine(
      testing::Values(Tolerance{torch::kFloat64, 1e-13}, Tolerance{torch::kFloat32, 2e-6},
                      Tolerance{torch::kBFloat16, 2e-2}),
      testing::ValuesIn(versions()));
}

inline std::string name_of_version(
    const testing::TestParamInfo<std::tuple<Tolerance, Version>>& test) {
  return cat(c10::toString(std::get<Tolerance>(test.param).dtype),
             std::get<Version>(test.param).name);
}

}  // namespace fathom
