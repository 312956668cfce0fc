// Norm placements are data: a pure function from a site to a plan, read by one residual step
// (model/block.h):
//
//   y = gate(sum_norm(skip_scale skip_gain gate(x)
//                     + output_scale branch_gain output_norm(F(norm_scale input_norm(input_scale
//                     x))))
//            sum_scale)
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
  int64_t hidden_size = 0;  ///< channels of the residual stream
};

/// What a norm computes, each with a learned gain g per channel, which starts at 1.
enum class NormKind {
  none,
  rms,    ///< g x / sqrt(mean(x^2) + eps), arXiv:1910.07467
  layer,  ///< g (x - mean) / sqrt(var + eps) + b, arXiv:1607.06450
  group,  ///< rms within each of `groups` groups of channels
  dyt     ///< g tanh(alpha x) with a learned scalar alpha, arXiv:2503.10622
};

struct NormPlan {
  NormKind kind;
  int64_t groups;  ///< of `group`; divides the width
  double alpha;    ///< of `dyt`: start value

  // Not explicit: `plan.input_norm = NormKind::rms` says it all.
  NormPlan(NormKind of_kind = NormKind::none, int64_t num_groups = 1, double alpha_start = 0.0)
      : kind(of_kind), groups(num_groups), alpha(alpha_start) {}
  bool present() const { return kind != NormKind::none; }
  bool operator==(const NormPlan&) const = default;
};

/// An RMSNorm on query, key or value: over each head's channels, or over all of them.
enum class HeadNorm { none, head, full };

/// A learned factor.
enum class GainKind { none, scalar, channel };

struct GainPlan {
  GainKind kind = GainKind::none;
  double start = 1.0;

  bool present() const { return kind != GainKind::none; }
  bool operator==(const GainPlan&) const = default;
};

/// A factor base^-p after the input norm, with p learned.
struct ExponentPlan {
  bool learned = false;
  double base = 1.0;
  double start = 0.0;  ///< of p

  bool operator==(const ExponentPlan&) const = default;
};

/// The matrices of a block.
enum class Weight { query, key, value, output, gate, up, down };
inline constexpr std::array<std::string_view, 7> kWeightNames = {"query", "key", "value", "output",
                                                                 "gate",  "up",  "down"};

/// How a matrix starts, where the placement prescribes it.
struct WeightStart {
  /// Normal with std gain sqrt(2 / (fan_in + fan_out)) instead of the init method's.
  bool xavier = false;
  double gain = 1.0;

  bool operator==(const WeightStart&) const = default;
};

/// All that a placement decides at one site. The defaults are a bare residual step without norms.
struct SitePlan {
  NormPlan input_norm, output_norm, sum_norm;
  HeadNorm query_norm = HeadNorm::none;  ///< these three: of attention
  HeadNorm key_norm = HeadNorm::none;
  HeadNorm value_norm = HeadNorm::none;
  double input_scale = 1.0;
  double norm_scale = 1.0;
  double output_scale = 1.0;
  double skip_scale = 1.0;
  double sum_scale = 1.0;
  ExponentPlan norm_exponent;
  GainPlan skip_gain, branch_gain;
  /// Admin: skip_gain starts at the root of the summed variances of all branches before.
  bool profiled_skip = false;
  /// gate(x) = x - silu(a) x with a learned scalar a that starts at 0; gradients pass as if it were
  /// x.
  bool skip_gate = false;
  bool sum_gate = false;
  std::array<WeightStart, kWeightNames.size()> start = {};

  WeightStart& start_of(Weight weight) { return start[static_cast<size_t>(weight)]; }
  const WeightStart& start_of(Weight weight) const { return start[static_cast<size_t>(weight)]; }
  bool operator==(const SitePlan&) const = default;
};

/// Calls visit(name, field) for every field of a plan: the one list that files, checks and tests
/// follow.
template <typename Plan, typename Visit>
void visit_fields(Plan& plan, const Visit& visit) {
  visit("input_norm", plan.input_norm);
  visit("output_norm", plan.output_norm);
  visit("sum_norm", plan.sum_norm);
  visit("query_norm", plan.query_norm);
  visit("key_norm", plan.key_norm);
  visit("value_norm", plan.value_norm);
  visit("input_scale", plan.input_scale);
  visit("norm_scale", plan.norm_scale);
  visit("output_scale", plan.output_scale);
  visit("skip_scale", plan.skip_scale);
  visit("sum_scale", plan.sum_scale);
  visit("norm_exponent", plan.norm_exponent);
  visit("skip_gain", plan.skip_gain);
  visit("branch_gain", plan.branch_gain);
  visit("profiled_skip", plan.profiled_skip);
  visit("skip_gate", plan.skip_gate);
  visit("sum_gate", plan.sum_gate);
  visit("start", plan.start);
}

struct LayerPlan {
  SitePlan attention;
  SitePlan feed_forward;

  const SitePlan& site(Sublayer s) const {
    return s == Sublayer::attention ? attention : feed_forward;
  }
  bool operator==(const LayerPlan&) const = default;
};

/// The plan of a whole model.
struct ModelPlan {
  std::vector<LayerPlan> layers;
  GainPlan embedding_gain;              ///< on the token embedding
  NormPlan embedding_norm;              ///< between the token embedding and the first block
  NormPlan final_norm = NormKind::rms;  ///< between the last block and the head

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
  /// What it decides beside the sites, or null.
  void (*finish)(ModelPlan&, const ModelConfig&) = nullptr;
};

/// All placements that `model.norm.placement` can name.
std::span<const Placement> placements();

/// A row of the table of scalings: what `model.norm.scaling` puts on top of a placement.
struct Scaling {
  std::string_view name;
  /// @throws ConfigError where the placement leaves no room for it
  void (*apply)(SitePlan&, const Site&, const NormConfig&);
  std::string_view formula;
  std::string_view source;
  std::vector<std::string> options;  ///< keys of model.norm that it reads
};

/// All scalings that `model.norm.scaling` can name.
std::span<const Scaling> scalings();

/// The plan of every site, with the final norm that `model.norm.final` asks for ("auto": unless the
/// last step ends in a sum norm).
/// @throws ConfigError for an unknown placement, a list of placements of another length than the
/// model, or a combination that makes no sense
ModelPlan resolve_plan(const ModelConfig& config);

/// The same for a placement of one's own; config.norm.placement is not read.
ModelPlan resolve_plan(const ModelConfig& config, const PlacementFunction& placement);

/// Whether plain Llama (with a norm on each head of query and key: Qwen3) computes the same once
/// norm scales are folded into the gains of the norms.
bool is_plain_llama(const ModelPlan& plan);

/// Combinations that the literature found to hurt, one sentence each with its source; empty when
/// there is none.
std::vector<std::string> known_bad_pairings(const ModelConfig& config);

}  // namespace fathom
