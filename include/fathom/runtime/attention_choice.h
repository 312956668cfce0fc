// Which of LibTorch's attention kernels a GPU uses.
#pragma once

#include <torch/types.h>

#include <functional>
#include <string>

#include "fathom/config/run_config.h"

namespace fathom {

/// Seconds that work takes on the device.
using DeviceTimer = std::function<double(const std::function<void()>& work)>;

/// Makes `train.attention` LibTorch's first choice from now on: measured is the kernel with the
/// fastest forward and backward pass for the run's shape. Shapes that it can't do, such as those of
/// an evaluation, get another one. Does nothing for auto.
/// @param rows that go through the model at once
/// @param timer of libfathom_cuda.so, but for tests
/// @returns a line for the log, or ""
/// @throws ConfigError if the kernel can't do this shape (measured: if none can), with LibTorch's
/// reason
std::string choose_attention(const RunConfig& config, int64_t rows, const torch::Device& device,
                             const DeviceTimer& timer = {});

}  // namespace fathom
