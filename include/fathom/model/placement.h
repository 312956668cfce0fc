// Norm placements are data: a pure function from a site to numbers, read by one residual step
// (model/block.h):
//
//   y = sum_norm(skip_scale x + output_scale output_norm(F(norm_scale input_norm(input_scale x))))
//   sum_scale
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/config/model_config.h"

namespace fathom {

enum class Sublayer { attention, feed_forward };

/// A place in the model: one residual step.
struct Site {
  int64_t layer = 1;  ///< counts from 1; both sub-layers of a block share it
  int64_t num_layers = 1;
  Sublayer sublayer = Sublayer::attention;
};

enum class NormKind { none, rms };

/// The matrices of a block.
enum class Weight { query, key, value, output, gate, up, down };
inline constexpr int kNumWeights = 7;

/// How a matrix starts, where the placement prescribes it.
struct WeightStart {
  bool xavier =
      false;  ///< normal with std gain sqrt(2 / (fan_in + fan_out)) instead of the init method's
  double gain = 1.0;

  bool operator==(const WeightStart&) const = default;
};

/// All that a placement decides at one site. The defaults are a bare residual step without norms.
struct SitePlan {
  NormKind input_norm = NormKind::none;
  NormKind output_norm = NormKind::none;
  NormKind sum_norm = NormKind::none;
  double input_scale = 1.0;
  double norm_scale = 1.0;
  double output_scale = 1.0;
  double skip_scale = 1.0;
  double sum_scale = 1.0;
  std::array<WeightStart, kNumWeights> start = {};

  WeightStart& start_of(Weight weight) { return start[static_cast<size_t>(weight)]; }
  const WeightStart& start_of(Weight weight) const { return start[static_cast<size_t>(weight)]; }
  bool operator==(const SitePlan&) const = default;
};

struct LayerPlan {
  SitePlan attention;
  SitePlan feed_forward;

  bool operator==(const LayerPlan&) const = default;
};

/// The plan of a whole model.
struct ModelPlan {
  std::vector<LayerPlan> layers;
  bool final_norm = true;  ///< an RMSNorm between the last block and the head

  bool operator==(const ModelPlan&) const = default;
};

/// A placement of one's own: any pure function of the site.
using PlacementFunction = std::function<SitePlan(const Site&)>;

/// A row of the table of placements.
struct Placement {
  std::string_view name;
  SitePlan (*plan)(const Site&, const NormConfig&);
  std::string_view formula;          ///< one residual step
  std::string_view source;           ///< arXiv id, or where the deviation is explained
  std::vector<std::string> options;  ///< keys of model.norm that it reads
};

/// All placements that `model.norm.placement` can name.
std::span<const Placement> placements();

/// The plan of every site, with the final norm that `model.norm.final` asks for ("auto": unless the
/// last step ends in a sum norm).
/// @throws ConfigError for an unknown placement
ModelPlan resolve_plan(const ModelConfig& config);

/// The same for a placement of one's own.
ModelPlan resolve_plan(const ModelConfig& config, const PlacementFunction& placement);

/// Whether plain Llama computes the same once norm scales are folded into the gains of the norms.
bool is_plain_llama(const ModelPlan& plan);

/// Combinations that the literature found to hurt, one sentence each with its source; empty when
/// there is none.
std::vector<std::string> known_bad_pairings(const ModelConfig& config);

}  // namespace fathom
