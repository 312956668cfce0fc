#include "dispatch.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <array>
#include <atomic>
#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/kernels/choice.h"
#include "kernels/cpu/rows.h"

namespace fathom {
namespace {

using DeviceTable = std::array<std::atomic<const RowKernels*>, c10::COMPILE_TIME_MAX_DEVICE_TYPES>;

DeviceTable& tables() {
  static DeviceTable all{};
  static const bool started = [] {
    all[static_cast<size_t>(torch::kCPU)] = &cpu_row_kernels();
    return true;
  }();
  static_cast<void>(started);
  return all;
}

}  // namespace

const RowKernels* row_kernels_for(const torch::Tensor& x) {
  const bool typed = x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kBFloat16;
  if (!typed || !use_fused(x.device())) return nullptr;
  return tables()[static_cast<size_t>(x.device().type())];
}

void set_row_kernels(torch::DeviceType device, const RowKernels* kernels) {
  tables()[static_cast<size_t>(device)] = kernels;
}

NumberType number_type(const torch::Tensor& x) {
  switch (x.scalar_type()) {
    case torch::kFloat32:
      return NumberType::float32;
    case torch::kBFloat16:
      return NumberType::bfloat16;
    default:
      throw std::invalid_argument(
          cat("row kernels work on float32 and bf16, not on ", c10::toString(x.scalar_type())));
  }
}

KernelLaunch::KernelLaunch(const torch::Tensor& x) {
  if (x.device().is_cpu()) return;
  guard_.reset_device(x.device());
  stream_ = c10::impl::VirtualGuardImpl(x.device().type()).getStream(x.device()).native_handle();
}

}  // namespace fathom
