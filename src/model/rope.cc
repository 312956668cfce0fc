#include "fathom/model/rope.h"

#include <array>
#include <cmath>
#include <numbers>

#include "fathom/base/names.h"

namespace fathom {
namespace {

double unscaled(double frequency, const RopeScalingConfig&) { return frequency; }

double linear(double frequency, const RopeScalingConfig& scaling) {
  return frequency / scaling.factor;
}

/// Llama 3.1: long wavelengths are stretched, short ones stay, those between are blended.
double llama3(double frequency, const RopeScalingConfig& scaling) {
  const double turns = static_cast<double>(scaling.original_max_position_embeddings) * frequency /
                       (2 * std::numbers::pi);
  if (turns < scaling.low_freq_factor) return frequency / scaling.factor;
  if (turns > scaling.high_freq_factor) return frequency;
  const double blend =
      (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - blend) * frequency / scaling.factor + blend * frequency;
}

const std::array kRopeTypes = {
    RopeType{"default", &unscaled, "theta^(-2i/d)", {}},
    RopeType{"linear", &linear, "theta^(-2i/d) / factor", {"factor"}},
    RopeType{"llama3",
             &llama3,
             "low frequencies / factor, high ones unchanged, blended between",
             {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
};

}  // namespace

std::span<const RopeType> rope_types() { return kRopeTypes; }

RopeTable make_rope_table(const ModelConfig& config, int64_t length,
                          const torch::TensorOptions& options) {
  const RopeType& type =
      find_row(rope_types(), config.rope_scaling.rope_type, "model.rope_scaling.rope_type");
  const int64_t half = config.head_size() / 2;
  torch::Tensor frequency_F = torch::empty({half}, torch::kFloat64);
  for (int64_t i = 0; i < half; ++i) {
    const double exponent = static_cast<double>(i) / static_cast<double>(half);
    frequency_F[i] = type.scale(std::pow(config.rope_theta, -exponent), config.rope_scaling);
  }
  const torch::Tensor angle_TF = torch::outer(torch::arange(length, torch::kFloat64), frequency_F);
  return {angle_TF.cos().to(options), angle_TF.sin().to(options)};
}

}  // namespace fathom
