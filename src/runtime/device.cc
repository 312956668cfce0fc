#include "fathom/runtime/device.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "fathom/base/cores.h"
#include "fathom/base/error.h"
#include "fathom/kernels/choice.h"
#include "fathom/runtime/cpu_allocator.h"

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

int64_t gpu_of_rank(int64_t local_rank, int64_t gpus) {
  if (local_rank < gpus) return local_rank;
  throw ConfigError(
      cat("LOCAL_RANK is ", local_rank, ", but LibTorch finds ", gpus,
          " GPU(s) on this host; start at most one process for each, and let each see all of "
          "them (srun: --gpus-per-node, not --gpus-per-task; no "
          "CUDA_VISIBLE_DEVICES), or use train.device=cpu"));
}

torch::Device choose_device(const std::string& choice, int64_t local_rank) {
  if (choice == "cpu") return torch::kCPU;
  const std::string reason = reason_for_no_cuda();
  if (reason.empty()) {
    const torch::Device device(
        torch::kCUDA, static_cast<c10::DeviceIndex>(
                          gpu_of_rank(local_rank, at::detail::getCUDAHooks().deviceCount())));
    c10::impl::VirtualGuardImpl(torch::kCUDA).setDevice(device);
    return device;
  }
  if (choice == "cuda")
    throw ConfigError(cat("train.device is cuda, but ", reason, "; use train.device=cpu or auto"));
  return torch::kCPU;
}

namespace {

/// A part of Fathom for GPUs that a config asks for by name.
struct GpuPart {
  std::string key_and_value;
  std::string without;  ///< the value that does without it
  bool asked;
  bool present;
};

void check_cpu(const std::vector<GpuPart>& parts) {
  for (const GpuPart& part : parts) {
    if (part.asked)
      throw ConfigError(cat(part.key_and_value, ", which has no effect on a CPU; use ",
                            part.without, ", or train.device=cuda"));
  }
}

/// Lines about the parts that are used.
std::vector<std::string> check_gpu(const std::vector<GpuPart>& parts,
                                   const LoadedCudaLibrary& loaded) {
  std::vector<std::string> lines;
  if (!loaded.problem.empty())
    lines.push_back(cat("GPU: LibTorch's operations alone, as ", loaded.problem));
  for (const GpuPart& part : parts) {
    if (!part.asked) continue;
    if (!part.present)
      throw ConfigError(cat(
          part.key_and_value, ", but ",
          loaded.problem.empty() ? "libfathom_cuda.so was built without nvcc" : loaded.problem,
          "; build it (scripts/setup.sh --nvcc, then scripts/build.sh), or use ", part.without));
    lines.push_back(cat(part.key_and_value, ": this has never run on a GPU"));
  }
  return lines;
}

}  // namespace

std::vector<std::string> check_device(const RunConfig& config, const torch::Device& device,
                                      int64_t ranks,
                                      const std::function<const LoadedCudaLibrary&()>& library) {
  const LoadedCudaLibrary none, &loaded = device.is_cuda() ? library() : none;
  const bool any = loaded.library != nullptr;
  const TrainConfig& train = config.train;
  const GpuPart kernels{"train.kernels is fused", "train.kernels=auto", train.kernels == "fused",
                        any && loaded.library->row_kernels != nullptr};
  const std::vector<GpuPart> parts = {
      {"train.cuda_graph is true", "train.cuda_graph=false", train.cuda_graph, any},
      {cat("train.attention is ", train.attention), "train.attention=auto",
       train.attention != "auto", any},
      {cat("parallel.backend is ", config.parallel.backend), "parallel.backend=auto",
       config.parallel.backend != "auto", any}};
  if (device.is_cpu()) {
    check_cpu(parts);
    return {};
  }
  if (config.optimizer.stochastic_rounding && train.kernels != "fused")
    throw ConfigError(
        cat("optimizer.stochastic_rounding is true, which on a GPU needs "
            "train.kernels=fused; set it, or optimizer.stochastic_rounding=false"));
  if (train.deterministic && train.attention == "measured")
    throw ConfigError(
        cat("train.attention is measured, which may choose another kernel each time, "
            "and train.deterministic is true; use train.attention=flash, cudnn, "
            "efficient or auto"));
  if (ranks > 1 && config.parallel.backend == "auto")
    throw ConfigError(cat("parallel.backend is auto, which is Gloo on CPUs, but ", ranks,
                          " processes train on GPUs; use parallel.backend=nccl, which has never "
                          "run on a GPU, train.device=cpu, or one process"));
  if (ranks > 1 && train.cuda_graph)
    throw ConfigError(cat("train.cuda_graph is true, which is for one process, and there are ",
                          ranks, "; use train.cuda_graph=false"));
  if (ranks == 1 && config.parallel.backend != "auto")
    throw ConfigError(cat("parallel.backend is ", config.parallel.backend,
                          ", which has no effect on one process; use parallel.backend=auto"));
  std::vector<GpuPart> all = parts;
  all.push_back(kernels);
  return check_gpu(all, loaded);
}

void settle_vector_math() {
  for (const auto dtype : {torch::kFloat32, torch::kFloat64}) {
    const torch::Tensor half = torch::full({1}, 0.5, dtype);
    for (const auto function : {&at::acos, &at::asin, &at::atan, &at::cos, &at::cosh, &at::erf,
                                &at::erfc, &at::exp, &at::expm1, &at::log, &at::log10, &at::log1p,
                                &at::log2, &at::sin, &at::sinh, &at::sqrt, &at::tan, &at::tanh})
      function(half);
  }
}

void apply_runtime_settings(const TrainConfig& config) {
  settle_vector_math();
  at::set_num_threads(static_cast<int>(config.threads.value_or(num_threads())));
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
