#include "fathom/model/rope.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "fathom/base/names.h"

namespace fathom {
namespace {

/// theta^(-2i/d), each changed by `scale(frequency, i)`.
template <typename Scale>
std::vector<double> scaled(double theta, int64_t head_size, const Scale& scale) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < head_size / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_size);
    frequencies.push_back(scale(std::pow(theta, -exponent), static_cast<double>(i)));
  }
  return frequencies;
}

std::vector<double> unscaled(const ModelConfig& config, int64_t) {
  return scaled(config.rope_theta, config.head_size(), [](double f, double) { return f; });
}

std::vector<double> linear(const ModelConfig& config, int64_t) {
  return scaled(config.rope_theta, config.head_size(),
                [&](double f, double) { return f / config.rope_scaling.factor; });
}

/// NTK-aware: beyond the trained context, theta grows with the sequence. Keys in a cache keep the
/// frequencies of the length at which they came, as in transformers.
std::vector<double> dynamic(const ModelConfig& config, int64_t length) {
  const auto width = static_cast<double>(config.head_size());
  const auto trained = static_cast<double>(config.original_context());
  const double stretch = std::max(1.0, static_cast<double>(length) / trained);
  const double growth = config.rope_scaling.factor * (stretch - 1) + 1;
  return scaled(config.rope_theta * std::pow(growth, width / (width - 2)), config.head_size(),
                [](double f, double) { return f; });
}

/// Llama 3.1: long wavelengths are stretched, short ones stay, those between are blended.
std::vector<double> llama3(const ModelConfig& config, int64_t) {
  const RopeScalingConfig& scaling = config.rope_scaling;
  const auto context = static_cast<double>(config.original_context());
  return scaled(config.rope_theta, config.head_size(), [&](double frequency, double) {
    const double turns = context * frequency / (2 * std::numbers::pi);
    if (turns < scaling.low_freq_factor) return frequency / scaling.factor;
    if (turns > scaling.high_freq_factor) return frequency;
    const double blend =
        (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
    return (1 - blend) * frequency / scaling.factor + blend * frequency;
  });
}

/// YaRN: channels that turn often in the original context stay, those that hardly turn are
/// stretched, and the blend between is linear in the channel. As in transformers 5, `factor` counts
/// as it stands; transformers 4 replaced it by the ratio of the two contexts.
std::vector<double> yarn(const ModelConfig& config, int64_t) {
  const RopeScalingConfig& scaling = config.rope_scaling;
  const auto width = static_cast<double>(config.head_size());
  const auto context = static_cast<double>(config.original_context());
  const auto channel_of_turns = [&](double turns) {
    return width * std::log(context / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(config.rope_theta));
  };
  double low = channel_of_turns(scaling.beta_fast);
  double high = channel_of_turns(scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, width - 1);
  if (low == high) high += 0.001;
  return scaled(config.rope_theta, config.head_size(), [&](double frequency, double channel) {
    const double stretched = std::clamp((channel - low) / (high - low), 0.0, 1.0);
    return frequency / scaling.factor * stretched + frequency * (1 - stretched);
  });
}

/// YaRN, section 3.4: logits are sharper in longer contexts.
double yarn_attention_factor(const RopeScalingConfig& scaling) {
  if (scaling.attention_factor) return *scaling.attention_factor;
  const auto magnitude = [&](double weight) {
    return scaling.factor <= 1 ? 1.0 : 0.1 * weight * std::log(scaling.factor) + 1.0;
  };
  const double over = scaling.mscale.value_or(0), under = scaling.mscale_all_dim.value_or(0);
  return over > 0 && under > 0 ? magnitude(over) / magnitude(under) : magnitude(1);
}

const std::array kRopeTypes = {
    RopeType{"default", &unscaled, "theta^(-2i/d)", {}},
    RopeType{"linear", &linear, "theta^(-2i/d) / factor", {"factor"}},
    RopeType{"dynamic",
             &dynamic,
             "theta grows with a sequence beyond original_max_position_embeddings",
             {"factor", "original_max_position_embeddings"},
             nullptr,
             /*depends_on_length=*/true},
    RopeType{"llama3",
             &llama3,
             "low frequencies / factor, high ones unchanged, blended between",
             {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
    RopeType{"yarn",
             &yarn,
             "low frequencies / factor, high ones unchanged, sharper attention (arXiv:2309.00071)",
             {"factor", "original_max_position_embeddings", "beta_fast", "beta_slow",
              "attention_factor", "mscale", "mscale_all_dim", "truncate"},
             &yarn_attention_factor},
};

const RopeType& type_of(const ModelConfig& config) {
  return find_row(rope_types(), config.rope_scaling.rope_type, "model.rope_scaling.rope_type");
}

}  // namespace

std::span<const RopeType> rope_types() { return kRopeTypes; }

RopeTable make_rope_table(const ModelConfig& config, int64_t length,
                          const torch::TensorOptions& options) {
  const RopeType& type = type_of(config);
  const torch::Tensor frequency_F =
      torch::tensor(type.frequencies(config, length), torch::kFloat64);
  const double factor =
      type.attention_factor == nullptr ? 1.0 : type.attention_factor(config.rope_scaling);
  const torch::Tensor angle_TF = torch::outer(torch::arange(length, torch::kFloat64), frequency_F);
  return {(angle_TF.cos() * factor).to(options), (angle_TF.sin() * factor).to(options)};
}

bool table_serves(const ModelConfig& config, int64_t size, int64_t length) {
  const int64_t trained = config.original_context();
  return size >= length && (!type_of(config).depends_on_length ||
                            std::max(size, trained) == std::max(length, trained));
}

}  // namespace fathom
