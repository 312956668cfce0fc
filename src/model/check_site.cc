#include "check_site.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <limits>
#include <type_traits>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using Parameters = BlockImpl::SiteParameters;

/// How far an output may be from the formula, relative to its token: float32 rounding, many times.
constexpr double kTolerance = 5e-5;

torch::Tensor wide(const torch::Tensor& tensor) {
  return tensor.detach().to(torch::kCPU, torch::kFloat64);
}

/// What can't be, so that no observation agrees with it.
torch::Tensor impossible(const torch::Tensor& like) {
  return torch::full_like(like, std::numeric_limits<double>::quiet_NaN());
}

/// The formulas of model/placement.h in plain operations, apart from the kernels and modules.
torch::Tensor norm_formula(const NormPlan& plan, const Norm& norm, const torch::Tensor& x,
                           double eps) {
  if (!plan.present()) return x;
  if (norm.is_empty()) return impossible(x);
  const torch::Tensor gain = wide(norm->weight);
  const bool has_alpha = norm->alpha.defined(), has_bias = norm->bias.defined();
  if (has_alpha != (plan.kind == NormKind::dyt) || has_bias != (plan.kind == NormKind::layer))
    return impossible(x);
  if (plan.kind == NormKind::dyt) return gain * (wide(norm->alpha) * x).tanh();
  if (plan.kind == NormKind::layer) {
    const torch::Tensor centred = x - x.mean(-1, true);
    return centred / (centred.square().mean(-1, true) + eps).sqrt() * gain + wide(norm->bias);
  }
  if (x.size(-1) % plan.groups != 0) return impossible(x);
  const torch::Tensor grouped = x.unflatten(-1, {plan.groups, x.size(-1) / plan.groups});
  return (grouped / (grouped.square().mean(-1, true) + eps).sqrt()).flatten(-2) * gain;
}

torch::Tensor gain_formula(const GainPlan& plan, const torch::Tensor& gain,
                           const torch::Tensor& x) {
  if (!plan.present()) return x;
  if (!gain.defined() || (gain.numel() == 1) != (plan.kind == GainKind::scalar))
    return impossible(x);
  return x * wide(gain);
}

torch::Tensor gate_formula(bool gated, const torch::Tensor& gate, const torch::Tensor& x) {
  if (!gated) return x;
  if (!gate.defined()) return impossible(x);
  const double a = gate.item<double>();
  return x * (1 - a / (1 + std::exp(-a)));
}

torch::Tensor branch_input_formula(const SitePlan& plan, const Parameters& parameters,
                                   const torch::Tensor& x, double eps) {
  torch::Tensor h =
      norm_formula(plan.input_norm, parameters.input, x * plan.input_scale, eps) * plan.norm_scale;
  if (!plan.norm_exponent.learned) return h;
  if (!parameters.norm_exponent.defined()) return impossible(x);
  return h * std::pow(plan.norm_exponent.base, -parameters.norm_exponent.item<double>());
}

torch::Tensor output_formula(const SitePlan& plan, const Parameters& parameters,
                             const torch::Tensor& x, const torch::Tensor& f, double eps) {
  const torch::Tensor branch =
      gain_formula(plan.branch_gain, parameters.branch_gain,
                   norm_formula(plan.output_norm, parameters.output, f, eps) * plan.output_scale);
  const torch::Tensor skip =
      gain_formula(plan.skip_gain, parameters.skip_gain,
                   gate_formula(plan.skip_gate, parameters.skip_gate, x) * plan.skip_scale);
  return gate_formula(
      plan.sum_gate, parameters.sum_gate,
      norm_formula(plan.sum_norm, parameters.sum, skip + branch, eps) * plan.sum_scale);
}

/// The largest distance of a token from its reference, relative to the observed token; infinite
/// where there is none.
double distance(const torch::Tensor& formula, const torch::Tensor& observed) {
  const torch::Tensor size = observed.norm(2, -1).clamp_min(1e-30);
  const double worst = ((formula - observed).norm(2, -1) / size).max().item<double>();
  return std::isnan(worst) ? std::numeric_limits<double>::infinity() : worst;
}

/// Values that a field might have instead of the plan's.
std::vector<NormPlan> alternatives(const NormPlan&) {
  return {NormKind::none,       NormKind::rms,        NormKind::layer,       NormKind::dyt,
          {NormKind::group, 2}, {NormKind::group, 4}, {NormKind::group, 8},  {NormKind::group, 16},
          {NormKind::group, 3}, {NormKind::group, 6}, {NormKind::group, 12}, {NormKind::group, 32}};
}
std::vector<GainPlan> alternatives(const GainPlan& plan) {
  return {{GainKind::none, plan.start},
          {GainKind::scalar, plan.start},
          {GainKind::channel, plan.start}};
}
std::vector<bool> alternatives(bool value) { return {!value}; }
std::vector<double> alternatives(double value) { return {value + 1}; }
std::vector<ExponentPlan> alternatives(const ExponentPlan& plan) {
  return {{!plan.learned, plan.base, plan.start}};
}

std::string text(double value) { return cat(value); }
std::string text(bool value) { return value ? "on" : "off"; }
std::string text(const NormPlan& norm) { return describe(norm); }
std::string text(const GainPlan& gain) { return describe(gain); }
std::string text(const ExponentPlan& plan) {
  return plan.learned ? cat(plan.base, "^-p, p learned") : "not learned";
}

/// A plan with one field changed.
template <typename Value>
SitePlan with_field(SitePlan plan, std::string_view name, const Value& value) {
  visit_fields(plan, [&](std::string_view field_name, auto& field) {
    if constexpr (std::is_same_v<std::decay_t<decltype(field)>, Value>) {
      if (field_name == name) field = value;
    }
  });
  return plan;
}

/// The factor that explains an observation best: where the formula is linear in it, from two
/// evaluations, and else by a search over magnitudes and signs.
template <typename Evaluate>
double estimate_factor(const Evaluate& evaluate, const torch::Tensor& observed) {
  const torch::Tensor at_zero = evaluate(0.0), slope = evaluate(1.0) - at_zero;
  const double linear =
      ((observed - at_zero) * slope).sum().item<double>() / slope.square().sum().item<double>();
  if (distance(evaluate(linear), observed) < kTolerance) return linear;
  double best = linear, best_distance = std::numeric_limits<double>::infinity();
  const auto consider = [&](double value) {
    const double d = distance(evaluate(value), observed);
    if (d < best_distance) {
      best_distance = d;
      best = value;
    }
  };
  consider(0.0);
  for (const double sign : {1.0, -1.0}) {
    for (double magnitude = -4; magnitude <= 4; magnitude += 0.2)
      consider(sign * std::pow(10, magnitude));
  }
  for (double step = 0.4; step > 1e-7; step *= 0.6) {
    const double centre = best;
    consider(centre * (1 + step));
    consider(centre * (1 - step));
  }
  return best;
}

/// One side of a residual step: its formula, and what it gave.
struct Side {
  std::function<torch::Tensor(const SitePlan&)> formula;
  const torch::Tensor& observed;
};

/// Fields that act inside of the sub-layer or on start values are measured by others.
template <typename Field>
constexpr bool kActsOnASide =
    !std::is_same_v<Field, HeadNorm> && !std::is_same_v<Field, decltype(SitePlan::start)>;

/// Whether a field acts on a side: with another value the formula gives something else.
template <typename Field>
bool acts(const Side& side, const SitePlan& plan, std::string_view name, const Field& field) {
  const torch::Tensor with_plan = side.formula(plan);
  const auto others = alternatives(field);
  return std::any_of(others.begin(), others.end(), [&](const Field& other) {
    return !torch::equal(side.formula(with_field(plan, name, other)), with_plan);
  });
}

/// The fields that alone explain what the plan doesn't.
std::vector<CheckedValue> explain(const std::string& where, const SitePlan& plan,
                                  const Side& side) {
  std::vector<CheckedValue> found;
  const auto add = [&](std::string_view name, const std::string& expected, const std::string& is) {
    found.push_back({where, std::string(name), expected, is, false});
  };
  visit_fields(plan, [&](std::string_view name, const auto& field) {
    using Field = std::decay_t<decltype(field)>;
    const auto search = [&](double expected, const auto& changed) {
      const auto evaluate = [&](double value) {
        return side.formula(with_field(plan, name, changed(value)));
      };
      const double value = estimate_factor(evaluate, side.observed);
      if (distance(evaluate(value), side.observed) < kTolerance)
        add(name, text(expected), text(value));
    };
    if constexpr (std::is_same_v<Field, double>) {
      if (acts(side, plan, name, field)) search(field, [](double value) { return value; });
    } else if constexpr (kActsOnASide<Field>) {
      for (const auto& other : alternatives(field)) {
        if (other == field) continue;
        if (distance(side.formula(with_field(plan, name, other)), side.observed) < kTolerance)
          return add(name, text(field), text(other));
      }
      if constexpr (std::is_same_v<Field, ExponentPlan>) {
        if (field.learned)
          search(field.base, [&](double base) { return ExponentPlan{true, base, field.start}; });
      }
    }
  });
  return found;
}

/// The fields that the plan sets, as measured: factors estimated, the others as they fit.
std::vector<CheckedValue> confirm(const std::string& where, const SitePlan& plan,
                                  const Side& side) {
  const SitePlan bare;
  std::vector<CheckedValue> all;
  visit_fields(plan, [&](std::string_view name, const auto& field) {
    using Field = std::decay_t<decltype(field)>;
    if constexpr (kActsOnASide<Field>) {
      if (with_field(bare, name, field) == bare || !acts(side, plan, name, field)) return;
      std::string measured = text(field);
      if constexpr (std::is_same_v<Field, double>) {
        measured = text(estimate_factor(
            [&](double value) { return side.formula(with_field(plan, name, value)); },
            side.observed));
      }
      all.push_back({where, std::string(name), text(field), measured, true});
    }
  });
  return all;
}

void compare_side(const std::string& where, const std::string& what, const SitePlan& plan,
                  const Side& side, std::vector<CheckedValue>& all) {
  const double far = distance(side.formula(plan), side.observed);
  if (far < kTolerance) {
    const auto confirmed = confirm(where, plan, side);
    all.insert(all.end(), confirmed.begin(), confirmed.end());
    return;
  }
  std::vector<CheckedValue> found = explain(where, plan, side);
  if (found.empty())
    found.push_back({where, what, "as the plan's formula",
                     cat("away from it by ", far, ", which no single field explains"), false});
  all.insert(all.end(), found.begin(), found.end());
}

}  // namespace

torch::Tensor probe_activations(int64_t tokens, int64_t dim, double eps) {
  const at::Generator generator = at::detail::createCPUGenerator(0);
  torch::Tensor x_ND = torch::randn({tokens, dim}, generator, torch::kFloat64) + 0.3;
  torch::Tensor magnitude = torch::linspace(0.5, 3.0, tokens, torch::kFloat64);
  magnitude[0] = std::sqrt(0.1 * eps);
  magnitude[tokens - 1] = 1000.0;
  return x_ND / x_ND.square().mean(-1, true).sqrt() * magnitude.unsqueeze(1);
}

std::vector<CheckedValue> compare_site(const std::string& where, const SitePlan& plan,
                                       const ObservedSite& observed, const Parameters& parameters,
                                       double eps) {
  std::vector<CheckedValue> all;
  const Side before{
      [&](const SitePlan& p) { return branch_input_formula(p, parameters, observed.input, eps); },
      observed.branch_input};
  compare_side(where, "input of the sub-layer", plan, before, all);
  const Side after{[&](const SitePlan& p) {
                     return output_formula(p, parameters, observed.input, observed.branch_output,
                                           eps);
                   },
                   observed.output};
  compare_side(where, "output of the step", plan, after, all);
  const bool identity = distance(observed.input, observed.output) < 1e-6;
  all.push_back({where, "the step", "not the identity",
                 identity ? "the identity" : "not the identity", !identity});
  return all;
}

std::vector<CheckedValue> compare_norm(const std::string& where, const std::string& what,
                                       const NormPlan& plan, const torch::Tensor& input,
                                       const torch::Tensor& output, const Norm& norm, double eps,
                                       double tolerance) {
  const auto agrees = [&](const NormPlan& candidate) {
    return distance(norm_formula(candidate, norm, input, eps), output) < tolerance;
  };
  std::string measured = "something else";
  if (agrees(plan)) {
    measured = describe(plan);
  } else {
    for (const NormPlan& other : alternatives(plan)) {
      if (agrees(other)) measured = describe(other);
    }
  }
  return {{where, what, describe(plan), measured, agrees(plan)}};
}

CheckedValue compare_head_norm(const std::string& where, const std::string& what, HeadNorm plan,
                               const torch::Tensor& raw, const torch::Tensor& out, const Norm& norm,
                               int64_t head_size, double eps) {
  const auto formula = [&](HeadNorm kind) {
    if (kind == HeadNorm::none) return raw;
    const torch::Tensor y = kind == HeadNorm::head ? raw.unflatten(-1, {-1, head_size}) : raw;
    if (norm.is_empty() || norm->weight.numel() != y.size(-1)) return impossible(raw);
    return (y / (y.square().mean(-1, true) + eps).sqrt() * wide(norm->weight)).reshape_as(raw);
  };
  const auto name = [](HeadNorm kind) {
    return kind == HeadNorm::none ? "none" : kind == HeadNorm::head ? "head" : "full";
  };
  std::string measured = "something else";
  for (const HeadNorm kind : {HeadNorm::full, HeadNorm::head, HeadNorm::none, plan}) {
    if (distance(formula(kind), out) < kTolerance) measured = name(kind);
  }
  return {where, what, name(plan), measured, measured == name(plan)};
}

std::string describe(const NormPlan& norm) {
  switch (norm.kind) {
    case NormKind::none:
      return "none";
    case NormKind::rms:
      return "rms";
    case NormKind::layer:
      return "layer";
    case NormKind::group:
      return cat("group(", norm.groups, ")");
    default:
      return "dyt";
  }
}

std::string describe(const GainPlan& gain) {
  return gain.kind == GainKind::none     ? "none"
         : gain.kind == GainKind::scalar ? "scalar"
                                         : "channel";
}

}  // namespace fathom
