// Start values: the distribution of every weight, drawn from (seed, parameter name) alone.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "fathom/config/model_config.h"
#include "fathom/model/placement.h"

namespace fathom {

/// A row of the table of initialisations. All draw from a normal distribution with mean 0.
struct Initialization {
  std::string_view name;
  /// Std of a block's matrix: of layer `site.layer`, with `fan_in` inputs.
  double (*std)(const ModelConfig&, const Site&, Weight);
  std::string_view formula;
  std::string_view source;
};

/// All initialisations that `model.init.method` can name.
std::span<const Initialization> initializations();

/// Std of a block's matrix [fan_out, fan_in] under the config's method, unless the plan prescribes
/// a start.
/// @throws ConfigError for an unknown method
double start_std(const ModelConfig& config, const SitePlan& plan, const Site& site, Weight weight,
                 int64_t fan_out, int64_t fan_in);

/// Fills a parameter from a generator that is seeded by (seed, name): the same values for any
/// number of ranks, threads and any device. Drawn in float32 on the CPU, then rounded to the
/// parameter's dtype.
void fill_normal(const torch::Tensor& parameter, double std, int64_t seed, std::string_view name);

}  // namespace fathom
