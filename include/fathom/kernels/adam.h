// Adam's update of many parameters at once.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace fathom {

struct AdamOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  bool decoupled_decay = false;  ///< AdamW: w *= 1 - lr weight_decay; else g += weight_decay w
  /// Weights and moments in bf16 are rounded up or down with the odds of the distance, so that
  /// changes far below their last bit add up (arXiv:2010.06192).
  bool stochastic_rounding = false;
};

/// Parameters and what updates them, one of each at each place, of one dtype and on one device.
struct AdamTensors {
  std::vector<torch::Tensor> parameters, gradients, first_moments, second_moments;
  std::vector<uint64_t> keys;  ///< of the random bits of stochastic rounding; else not read
};

/// Updates parameters and moments in place, in one pass over memory. Arithmetic is in float32
/// (float64 for float64 parameters).
/// @param lr learning rate, a scalar on the parameters' device, of any float dtype
/// @param step float32 scalar there: this one's number, from 1
/// @param gradient_divisor float32 scalar that every gradient is divided by
/// @param skip float32 scalar: 1 leaves everything as it is
/// @throws std::invalid_argument for stochastic rounding where `rounds_stochastically` is false,
/// and for tensors that aren't contiguous or alike
/// @see arXiv:1412.6980, arXiv:1711.05101
void adam_step(const AdamOptions& options, const AdamTensors& tensors, const torch::Tensor& lr,
               const torch::Tensor& step, const torch::Tensor& gradient_divisor,
               const torch::Tensor& skip);

/// Whether adam_step can round a tensor like this one stochastically: bf16, with kernels of
/// Fathom's own.
bool rounds_stochastically(const torch::Tensor& parameter);

}  // namespace fathom
