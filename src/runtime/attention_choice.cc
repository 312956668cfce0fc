#include "fathom/runtime/attention_choice.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <torch/autograd.h>

#include <array>
#include <cmath>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/kernels/cuda_library.h"
#include "fathom/runtime/precision.h"

namespace fathom {
namespace {

struct Kernel {
  const char* name;
  at::SDPBackend backend;
};

constexpr std::array kKernels = {Kernel{"flash", at::SDPBackend::flash_attention},
                                 Kernel{"cudnn", at::SDPBackend::cudnn_attention},
                                 Kernel{"efficient", at::SDPBackend::efficient_attention}};

/// While it lives, LibTorch may use one kernel alone; then what it could before.
class Only {
 public:
  explicit Only(at::SDPBackend backend) {
    const auto is = [&](at::SDPBackend other) { return backend == other; };
    set({is(at::SDPBackend::flash_attention), is(at::SDPBackend::cudnn_attention),
         is(at::SDPBackend::efficient_attention), false});
  }
  ~Only() { set(before_); }
  Only(const Only&) = delete;
  Only& operator=(const Only&) = delete;

 private:
  struct Enabled {
    bool flash, cudnn, efficient, math;
  };
  static Enabled now() {
    const at::Context& context = at::globalContext();
    return {context.userEnabledFlashSDP(), context.userEnabledCuDNNSDP(),
            context.userEnabledMemEfficientSDP(), context.userEnabledMathSDP()};
  }
  static void set(const Enabled& enabled) {
    at::Context& context = at::globalContext();
    context.setSDPUseFlash(enabled.flash);
    context.setSDPUseCuDNN(enabled.cudnn);
    context.setSDPUseMemEfficient(enabled.efficient);
    context.setSDPUseMath(enabled.math);
  }
  const Enabled before_ = now();
};

/// Query, key, value and mask as the run's micro-batches have them.
struct Operands {
  torch::Tensor query, key, value;
  std::optional<torch::Tensor> mask;
  bool grouped;
};

Operands make_operands(const RunConfig& config, int64_t rows, const torch::Device& device) {
  const ModelConfig& model = config.model;
  const int64_t length = config.data.sequence_length;
  const auto options =
      torch::TensorOptions(precision_of(config.train).compute).device(device).requires_grad(true);
  // As they come from one GEMM: [B, T, H, C] in memory.
  const auto heads = [&](int64_t count) {
    return torch::randn({rows, length, count, model.head_size()}, options).transpose(1, 2);
  };
  Operands operands{heads(model.num_attention_heads), heads(model.key_value_heads()),
                    heads(model.key_value_heads()), std::nullopt,
                    model.key_value_heads() != model.num_attention_heads};
  if (config.data.document_attention)
    operands.mask =
        torch::ones({rows, 1, length, length}, options.dtype(torch::kBool).requires_grad(false))
            .tril();
  return operands;
}

void attend(const Operands& o) {
  const torch::Tensor y = at::scaled_dot_product_attention(o.query, o.key, o.value, o.mask,
                                                           /*dropout_p=*/0.0, /*is_causal=*/!o.mask,
                                                           /*scale=*/std::nullopt, o.grouped);
  torch::autograd::grad({y}, {o.query, o.key, o.value}, {torch::ones_like(y)});
}

void put_first(at::SDPBackend backend) {
  std::vector<int64_t> order = {static_cast<int64_t>(backend)};
  for (const at::SDPBackend other : at::globalContext().sDPPriorityOrder()) {
    if (other != backend) order.push_back(static_cast<int64_t>(other));
  }
  at::globalContext().setSDPPriorityOrder(order);
}

std::string milliseconds(double seconds) { return cat(std::round(seconds * 1e6) / 1e3, " ms"); }

}  // namespace

std::string choose_attention(const RunConfig& config, int64_t rows, const torch::Device& device,
                             const DeviceTimer& timer) {
  const std::string& choice = config.train.attention;
  if (choice == "auto") return "";
  const DeviceTimer& seconds = timer ? timer : DeviceTimer(cuda_library().library->seconds);
  const Operands operands = make_operands(config, rows, device);
  const Kernel* best = nullptr;
  double best_time = 0;
  std::vector<std::string> found, failed;
  for (const Kernel& kernel : kKernels) {
    if (choice != "measured" && choice != kernel.name) continue;
    try {
      const Only only(kernel.backend);
      const double time = seconds([&] { attend(operands); });
      found.push_back(cat(kernel.name, " ", milliseconds(time)));
      if (best == nullptr || time < best_time) {
        best = &kernel;
        best_time = time;
      }
    } catch (const c10::OutOfMemoryError&) {
      throw;
    } catch (const c10::Error& error) {
      failed.push_back(cat(kernel.name, ": ", error.what_without_backtrace()));
    }
  }
  if (best == nullptr)
    throw ConfigError(cat("train.attention is ", choice, ", which can't do this run's shape (",
                          join(failed, "; "), "); use train.attention=auto"));
  put_first(best->backend);
  return cat("attention: ", best->name, " (", join(found, ", "), ", forward and backward)");
}

}  // namespace fathom
