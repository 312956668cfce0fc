// What a model is: dimensions under Hugging Face's names, norm placement, start values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"

namespace fathom {

/// Norm placement by name, and the options of some placements (`train-llm list placements`).
struct NormConfig {
  std::string placement = "pre";  ///< a name, or one for each layer: "post x3, pre x9"
  std::string scaling = "none";   ///< on top of the placement (`train-llm list scalings`)
  double exponent = 0.5;          ///< lns: the norm's output is multiplied by layer^-exponent
  bool learn_exponent = false;    ///< lns: a learned exponent for each sub-layer
  std::string position =
      "after_norm";                ///< lns: after_norm, before_norm, after_branch, after_residual
  std::string sublayers = "both";  ///< lns: both, attention, feed_forward
  std::optional<double> branch_gain_start;  ///< layerscale, skipinit; default: by depth
  std::optional<int64_t>
      post_layers;     ///< mix: the first layers that are Post-LN; default num_hidden_layers / 4
  int64_t groups = 8;  ///< group
  std::optional<double> alpha;            ///< dyt: start of alpha; default: by width
  std::optional<double> attention_alpha;  ///< dyt: the same before attention
  bool first_block_pre = false;           ///< hybrid: HybridNorm*
  std::string kind = "rms";               ///< rms, layer
  std::string final_norm = "auto";  ///< auto: unless the last residual step ends in a norm; on; off

  void declare(Fields& f);
};

/// Start values of the weights (`train-llm list inits`).
struct InitConfig {
  std::string method = "normal";
  std::optional<double> embedding_std;  ///< default: initializer_range

  void declare(Fields& f);
};

/// Rotary embedding of contexts longer than the model was trained for.
struct RopeScalingConfig {
  std::string rope_type = "default";
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  std::optional<int64_t> original_max_position_embeddings;  ///< default: max_position_embeddings
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  std::optional<double> attention_factor;  ///< yarn: default 0.1 log(factor) + 1
  std::optional<double> mscale;
  std::optional<double> mscale_all_dim;
  bool truncate = true;

  void declare(Fields& f);
};

/// A Llama-style decoder.
struct ModelConfig {
  int64_t hidden_size = 768;
  int64_t intermediate_size = 2048;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  std::optional<int64_t> num_key_value_heads;  ///< default: num_attention_heads
  std::optional<int64_t> head_dim;             ///< default: hidden_size / num_attention_heads
  int64_t vocab_size = 32000;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  RopeScalingConfig rope_scaling;
  bool tie_word_embeddings = false;
  bool attention_bias = false;
  bool attention_output_bias = true;  ///< with attention_bias; Qwen2 has none on the output
  std::string qk_norm =
      "auto";  ///< auto: as the placement says; none; head: as Qwen3; full: OLMo 2
  int64_t max_position_embeddings = 2048;
  double initializer_range = 0.02;
  NormConfig norm;
  InitConfig init;

  int64_t key_value_heads() const { return num_key_value_heads.value_or(num_attention_heads); }
  int64_t head_size() const { return head_dim.value_or(hidden_size / num_attention_heads); }
  bool output_bias() const { return attention_bias && attention_output_bias; }
  int64_t original_context() const {
    return rope_scaling.original_max_position_embeddings.value_or(max_position_embeddings);
  }
  double embedding_std() const { return init.embedding_std.value_or(initializer_range); }

  void declare(Fields& f);
  /// Checks that dimensions fit together. @returns the broken rules, in words that start with a
  /// key's path
  std::vector<std::string> inconsistencies() const;
};

}  // namespace fathom
