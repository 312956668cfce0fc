#include "fathom/train/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <thread>

#include "fathom/base/error.h"
#include "fathom/kernels/choice.h"
#include "fathom/kernels/cpu_allocator.h"

namespace fathom {
namespace {

struct PeakRow {
  std::string_view name;  // part of the device's name
  double bf16_flops;      // dense, from the vendor's data sheet
};

constexpr std::array kPeaks = {
    PeakRow{"B200", 2250e12}, PeakRow{"H200", 989e12}, PeakRow{"H100 PCIe", 756e12},
    PeakRow{"H100", 989e12},  PeakRow{"A100", 312e12}, PeakRow{"L40S", 362e12},
    PeakRow{"L4", 121e12},    PeakRow{"A10", 125e12},  PeakRow{"RTX 4090", 165e12},
};

/// The value of "key : value" in a /proc text file, or "".
std::string proc_value(const std::filesystem::path& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t value = line.find_first_not_of(" \t:", key.size());
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

/// Why there is no usable GPU, or "" when there is one.
std::string reason_for_no_cuda() {
  if (!std::filesystem::exists("/dev/nvidiactl")) return "no NVIDIA driver is loaded";
  if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr)
    return cat("LibTorch's CUDA library can't be loaded (", ::dlerror(), ")");
  if (!at::hasCUDA()) return "LibTorch finds no GPU";
  return "";
}

}  // namespace

torch::Device choose_device(const std::string& choice) {
  if (choice == "cpu") return torch::kCPU;
  const std::string reason = reason_for_no_cuda();
  if (reason.empty()) return {torch::kCUDA, 0};
  if (choice == "cuda")
    throw ConfigError(cat("train.device is cuda, but ", reason, "; use train.device=cpu or auto"));
  return torch::kCPU;
}

std::vector<std::string> check_device(const RunConfig& config, const torch::Device& device,
                                      const std::function<const LoadedCudaLibrary&()>& library) {
  if (!device.is_cuda()) return {};
  std::vector<std::string> lines;
  const LoadedCudaLibrary& loaded = library();
  if (!loaded.problem.empty())
    lines.push_back(cat("GPU: LibTorch's operations alone, as ", loaded.problem));
  const bool has_kernels = loaded.library != nullptr && loaded.library->row_kernels != nullptr;
  if (config.train.kernels == "fused") {
    if (!has_kernels)
      throw ConfigError(cat(
          "train.kernels is fused, but there are no CUDA kernels of Fathom's own: ",
          loaded.library == nullptr ? loaded.problem : "libfathom_cuda.so was built without nvcc",
          "; build with one (scripts/setup.sh --nvcc) or use train.kernels=auto"));
    lines.emplace_back("train.kernels is fused: Fathom's CUDA kernels have never run on a GPU");
  }
  return lines;
}

void apply_runtime_settings(const TrainConfig& config) {
  const auto cores = static_cast<int64_t>(std::max(1U, std::thread::hardware_concurrency()));
  at::set_num_threads(static_cast<int>(config.threads.value_or(cores)));
  at::globalContext().setDeterministicAlgorithms(config.deterministic, /*warn_only=*/false);
  set_kernels(config.kernels == "fused"       ? Kernels::fused
              : config.kernels == "reference" ? Kernels::reference
                                              : Kernels::automatic);
  if (config.kernels != "reference") use_caching_cpu_allocator();
}

std::string numerics_fingerprint(const torch::Device& device) {
  return cat("threads ", at::get_num_threads(), ", ", at::get_cpu_capability(), ", LibTorch ",
             TORCH_VERSION, ", ", use_fused(device) ? "fused" : "reference", " kernels, ",
             device.is_cpu() ? "cpu" : device_name(device));
}

int64_t peak_memory_bytes(const torch::Device& device) {
  if (device.is_cuda()) {
    const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
    return stats.allocated_bytes[0].peak;  // [0]: all pools together
  }
  const std::string kib = proc_value("/proc/self/status", "VmHWM");
  return kib.empty() ? 0 : std::stoll(kib) * 1024;
}

double peak_flops(const torch::Device& device, torch::ScalarType compute) {
  if (!device.is_cuda() || compute != torch::kBFloat16) return 0;
  const std::string name = device_name(device);
  for (const PeakRow& row : kPeaks) {
    if (name.find(row.name) != std::string::npos) return row.bf16_flops;
  }
  return 0;
}

std::string device_name(const torch::Device& device) {
  if (device.is_cpu()) return proc_value("/proc/cpuinfo", "model name");
  std::error_code error;
  for (const auto& gpu : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    std::string model = proc_value(gpu.path() / "information", "Model");
    if (!model.empty()) return model;
  }
  return "CUDA device";
}

}  // namespace fathom
