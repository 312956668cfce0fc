#include "fathom/model/init.h"

#include <ATen/CPUGeneratorImpl.h>

#include <array>
#include <cmath>

#include "fathom/base/hash.h"
#include "fathom/base/names.h"

namespace fathom {
namespace {

bool is_output_projection(Weight weight) {
  return weight == Weight::output || weight == Weight::down;
}

double normal(const ModelConfig& config, const Site&, Weight) { return config.initializer_range; }

double scaled(const ModelConfig& config, const Site& site, Weight weight) {
  const double layers = static_cast<double>(site.num_layers);
  return config.initializer_range * (is_output_projection(weight) ? 1 / std::sqrt(2 * layers) : 1);
}

double depth_scaled(const ModelConfig& config, const Site& site, Weight) {
  return config.initializer_range / std::sqrt(2 * static_cast<double>(site.layer));
}

double olmo(const ModelConfig& config, const Site& site, Weight weight) {
  const double width = static_cast<double>(config.hidden_size);
  const double layer = static_cast<double>(site.layer);
  return 1 / std::sqrt(is_output_projection(weight) ? 2 * width * layer : width);
}

constexpr std::array kInitializations = {
    Initialization{"normal", &normal, "std initializer_range", "arXiv:2502.05795"},
    Initialization{"scaled", &scaled, "W_O, W_down: std / sqrt(2L)", "arXiv:1909.08053"},
    Initialization{"depth_scaled", &depth_scaled, "matrices of layer l: std / sqrt(2l)",
                   "arXiv:1908.11365"},
    Initialization{"olmo", &olmo, "inputs: 1 / sqrt(d); outputs of layer l: 1 / sqrt(2 d l)",
                   "arXiv:2402.00838"},
};

}  // namespace

std::span<const Initialization> initializations() { return kInitializations; }

double start_std(const ModelConfig& config, const SitePlan& plan, const Site& site, Weight weight,
                 int64_t fan_out, int64_t fan_in) {
  const WeightStart& start = plan.start_of(weight);
  if (start.xavier) return start.gain * std::sqrt(2.0 / static_cast<double>(fan_in + fan_out));
  const Initialization& row = find_row(initializations(), config.init.method, "model.init.method");
  return start.gain * row.std(config, site, weight);
}

void fill_normal(const torch::Tensor& parameter, double std, int64_t seed, std::string_view name) {
  const torch::NoGradGuard no_grad;
  const at::Generator generator = at::detail::createCPUGenerator(seed_of(seed, name));
  parameter.copy_(torch::empty(parameter.sizes(), torch::kFloat32).normal_(0.0, std, generator));
}

}  // namespace fathom
