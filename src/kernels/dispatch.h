// Which loops serve a tensor.
#pragma once

#include <c10/core/DeviceGuard.h>
#include <torch/types.h>

#include "row_kernels.h"

namespace fathom {

/// The loops for float32 and bf16 tensors like this one; null where the reference is chosen, or the
/// device or dtype has none.
const RowKernels* row_kernels_for(const torch::Tensor& x);

/// Gives a kind of device its loops; null: none. The CPU has its own from the start.
void set_row_kernels(torch::DeviceType device, const RowKernels* kernels);

/// @throws std::invalid_argument unless the dtype is float32 or bf16
NumberType number_type(const torch::Tensor& x);

/// Makes a tensor's device the current one while it lives, and knows its current stream.
class KernelLaunch {
 public:
  explicit KernelLaunch(const torch::Tensor& x);
  StreamHandle stream() const { return stream_; }

 private:
  c10::OptionalDeviceGuard guard_;
  StreamHandle stream_ = nullptr;
};

}  // namespace fathom
