// Optimizers over the parameters of a model: a table of update rules, and the state that they keep.
#pragma once

#include <torch/ordered_dict.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/config/run_config.h"
#include "fathom/data/loader.h"
#include "fathom/model/cost.h"

namespace fathom {

/// A tensor that an update rule keeps for a parameter, of its dtype, shape and device. Checkpoints
/// know it as "<name>.<parameter>".
struct StateTensor {
  std::string name;
  torch::Tensor value;
};

/// A parameter and what is kept for it. What another rank owns is on the meta device: shapes
/// without memory.
struct ParameterState {
  std::string name;
  torch::Tensor parameter;
  std::vector<StateTensor> kept;
  int64_t owner = 0;  ///< rank that updates the parameter
  uint64_t key = 0;   ///< of the random bits of stochastic rounding
};

/// What one step gives to every update, as scalars on the parameters' device.
struct UpdateScalars {
  torch::Tensor lr;                ///< float32; on the CPU float64, as LibTorch's reference has it
  torch::Tensor step;              ///< float32: this one's number, from 1
  torch::Tensor gradient_divisor;  ///< float32: every gradient is divided by it (clipping)
  torch::Tensor skip;              ///< float32: 1 leaves parameters and what is kept as they are
};

/// How an optimizer changes parameters.
class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  /// Names of the tensors that are kept for a parameter; they start at zero.
  virtual std::vector<std::string> state_names(const std::string& name,
                                               const torch::Tensor& parameter) const = 0;
  /// Changes parameters, from their `.grad`, and what is kept for them, in place. Called without
  /// gradients on; waits for no device.
  virtual void update(std::span<ParameterState* const> states,
                      const UpdateScalars& scalars) const = 0;
};

/// A row of the table of optimizers.
struct OptimizerRow {
  std::string_view name;
  std::string_view formula;
  std::string_view source;
  std::vector<std::string> options;  ///< keys of optimizer.* that it reads, and not all do
  std::unique_ptr<UpdateRule> (*make)(const OptimizerConfig& config);
  /// Numbers that it keeps for all parameters together.
  int64_t (*state_numbers)(const ParameterCount& parameters);
};

/// All optimizers that `optimizer.name` can name.
std::span<const OptimizerRow> optimizers();

/// The row that a config names. @throws ConfigError for an unknown optimizer
const OptimizerRow& optimizer_row(const OptimizerConfig& config);

/// The owner of each parameter: whole parameters, the largest first, each to the rank that has the
/// least so far.
/// @param sizes elements of each parameter
std::vector<int64_t> balanced_owners(const std::vector<int64_t>& sizes, int64_t ranks);

/// Updates parameters in place by the rule that a config names.
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

  /// One update of the parameters that this rank owns. A skipped one doesn't count.
  /// @see UpdateScalars
  void step(const torch::Tensor& lr, const torch::Tensor& gradient_divisor,
            const torch::Tensor& skip);

  std::span<ParameterState> states() { return states_; }
  /// Updates made so far, float32 scalar on the device.
  torch::Tensor& step_count() { return step_count_; }

 private:
  std::unique_ptr<UpdateRule> rule_;
  std::vector<ParameterState> states_;
  std::vector<size_t> owned_;
  torch::Tensor step_count_;
};

}  // namespace fathom
