// Adam and AdamW over the parameters of a model.
#pragma once

#include <torch/ordered_dict.h>
#include <torch/types.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/config/run_config.h"
#include "fathom/data/loader.h"

namespace fathom {

/// A row of the table of optimizers.
struct OptimizerRow {
  std::string_view name;
  bool decoupled_decay;  ///< AdamW: the decay acts on the weight; Adam: it is added to the gradient
  std::string_view formula;
  std::string_view source;
};

/// All optimizers that `optimizer.name` can name.
std::span<const OptimizerRow> optimizers();

/// A parameter and its moments, which have its dtype, shape and device. The moments that another
/// rank owns are on the meta device: shapes without memory.
struct ParameterState {
  std::string name;
  torch::Tensor parameter;
  torch::Tensor first_moment;
  torch::Tensor second_moment;
  int64_t owner = 0;  ///< rank that updates the parameter
  uint64_t key = 0;   ///< of the random bits of stochastic rounding
};

/// The owner of each parameter: whole parameters, the largest first, each to the rank that has the
/// least so far.
/// @param sizes elements of each parameter
std::vector<int64_t> balanced_owners(const std::vector<int64_t>& sizes, int64_t ranks);

/// Updates parameters in place, all in one kernel call. Weight decay acts on matrices only.
class Optimizer {
 public:
  /// @param parameters in the order in which they are updated
  /// @param shard this rank and the number of ranks that share the parameters (ZeRO-1)
  /// @param seed of stochastic rounding
  /// @throws ConfigError for an unknown optimizer, and for stochastic rounding that these
  /// parameters don't allow
  Optimizer(const OptimizerConfig& config,
            const torch::OrderedDict<std::string, torch::Tensor>& parameters, Shard shard = {},
            int64_t seed = 1);

  /// One update of the parameters that this rank owns, from their `.grad`.
  /// @param lr learning rate of this step, a scalar on the parameters' device: float32; on the CPU
  /// float64, as LibTorch's reference computes with a double there
  /// @param gradient_divisor float32 scalar that every gradient is divided by (clipping)
  /// @param skip float32 scalar: 1 leaves parameters, moments and step count as they are, decided
  /// on the device
  void step(const torch::Tensor& lr, const torch::Tensor& gradient_divisor,
            const torch::Tensor& skip);

  std::span<ParameterState> states() { return states_; }
  /// Updates made so far, float32 scalar on the device.
  torch::Tensor& step_count() { return step_count_; }

 private:
  void update(const std::vector<size_t>& group, double weight_decay, const torch::Tensor& lr,
              const torch::Tensor& step, const torch::Tensor& gradient_divisor,
              const torch::Tensor& skip);

  OptimizerConfig config_;
  bool decoupled_decay_;
  std::vector<ParameterState> states_;
  std::vector<size_t> decayed_, not_decayed_;
  torch::Tensor step_count_;
};

}  // namespace fathom
