// Which version of the kernels runs: one setting of the process, like LibTorch's own backends.
#pragma once

#include <torch/types.h>

namespace fathom {

/// `automatic`: the fused version wherever it has been shown to be right on the device (today: the
/// CPU). `fused`: it on a GPU too. `reference`: plain ATen operations everywhere.
enum class Kernels { automatic, fused, reference };

/// Chooses for all threads, from the next call of a kernel on.
void set_kernels(Kernels choice);
Kernels kernels();

/// Whether a kernel takes its fused version for tensors on this device.
bool use_fused(const torch::Device& device);

}  // namespace fathom
