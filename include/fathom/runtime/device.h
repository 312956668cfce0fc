// The device of a run: choice, threads, determinism, memory.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fathom/config/run_config.h"
#include "fathom/kernels/cuda_library.h"

namespace fathom {

/// "auto" is a GPU if there is one. LibTorch's CUDA libraries are loaded only when they are needed.
/// @param choice train.device: auto, cpu or cuda
/// @param local_rank among the processes of this host, which each have a GPU of their own
/// @throws ConfigError if cuda is asked for and there is none, saying why, or if there are fewer
/// GPUs than processes
torch::Device choose_device(const std::string& choice, int64_t local_rank = 0);

/// The GPU of a process, of `gpus` on its host. @throws ConfigError if it has none
int64_t gpu_of_rank(int64_t local_rank, int64_t gpus);

/// Checks that the parts of Fathom that a config asks for are there and do something on the device.
/// @param ranks number of processes
/// @param library loads libfathom_cuda.so; called for a GPU alone
/// @returns lines for the log: which parts a run on this GPU does without, and which have never run
/// on a GPU
/// @throws ConfigError for what is asked for by name and is missing, or has no effect there
std::vector<std::string> check_device(
    const RunConfig& config, const torch::Device& device, int64_t ranks = 1,
    const std::function<const LoadedCudaLibrary&()>& library = cuda_library);

/// Calls each of MKL's vector functions once, with one thread. MKL chooses their version at the
/// first call, and where several threads make that at once, one may get results of low precision
/// (pytorch/pytorch#188792): a resume would not have the bits of the run.
void settle_vector_math();

/// Sets LibTorch's threads (train.threads, by default `num_threads()` of base/cores.h),
/// determinism, kernels and the CPU's allocator.
void apply_runtime_settings(const TrainConfig& config);

/// What a bit-exact resume depends on: "threads 2, AVX2, LibTorch 2.11.0, fused kernels, cpu".
std::string numerics_fingerprint(const torch::Device& device);

/// Most memory held so far, in bytes: of the GPU's allocator, or resident in this process.
int64_t peak_memory_bytes(const torch::Device& device);

/// Dense bf16 (or fp32 on CPU: unknown) peak of the device in FLOP/s, or 0 where unknown.
double peak_flops(const torch::Device& device, torch::ScalarType compute);

/// The device's name for people: "NVIDIA H200" or the CPU's model.
std::string device_name(const torch::Device& device);

}  // namespace fathom
