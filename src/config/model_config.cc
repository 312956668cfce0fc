#include "fathom/config/model_config.h"

#include "fathom/base/error.h"

namespace fathom {

void NormConfig::declare(Fields& f) {
  f.choice("placement", placement,
           "where the norms are and how they scale (list placements); for each layer: 'post x3, "
           "pre x9'",
           /*sequence=*/true);
  f.choice("scaling", scaling, "a scaling on top of the placement (list scalings)");
  const std::vector<std::string> both = {"placement", "scaling"};
  f.option_of(both, "exponent", &exponent, "norm output times layer^-exponent",
              {.at_least = -4, .at_most = 4});
  f.option_of(both, "learn_exponent", &learn_exponent,
              "the exponent of each sub-layer is learned, from `exponent` on");
  f.option_of(both, "position", &position, "where the factor is applied", {},
              {"after_norm", "before_norm", "after_branch", "after_residual"});
  f.option_of(both, "sublayers", &sublayers, "sub-layers whose norm is scaled", {},
              {"both", "attention", "feed_forward"});
  f.option_of(both, "branch_gain_start", &branch_gain_start,
              "start of the learned factor on the branch (default: by depth)");
  f.option_of({"placement"}, "post_layers", &post_layers,
              "first layers that are Post-LN (default: a quarter)", {.at_least = 0});
  f.option_of({"placement"}, "groups", &groups, "groups of channels that are normalized each alone",
              {.at_least = 1, .at_most = 65536});
  f.option_of({"placement"}, "alpha", &alpha, "start of the factor in the tanh (default: by width)",
              {.above = 0});
  f.option_of({"placement"}, "attention_alpha", &attention_alpha,
              "the same before attention (default: by width)", {.above = 0});
  f.option_of({"placement"}, "first_block_pre", &first_block_pre,
              "the first block is Pre-LN with norms on query, key and value (HybridNorm*)");
  f.one_of("kind", kind, {"rms", "layer"},
           "rms: RMSNorm; layer: LayerNorm, with mean and bias, for every norm of the placement");
  f.one_of("final", final_norm, {"auto", "on", "off"},
           "norm before the head; auto: unless the last residual step ends in a norm");
}

void InitConfig::declare(Fields& f) {
  f.choice("method", method, "how the weights start (list inits)");
  f.add("embedding_std", &embedding_std,
        "std of the token embedding's start values (default: initializer_range)", {.above = 0});
}

void RopeScalingConfig::declare(Fields& f) {
  f.choice("rope_type", rope_type, "how the rotary frequencies are stretched");
  f.option_of({"rope_type"}, "factor", &factor, "by how much the context grows", {.above = 0});
  f.option_of({"rope_type"}, "low_freq_factor", &low_freq_factor,
              "wavelengths above original_max_position_embeddings / this are stretched in full",
              {.above = 0});
  f.option_of({"rope_type"}, "high_freq_factor", &high_freq_factor,
              "wavelengths below original_max_position_embeddings / this stay", {.above = 0});
  f.option_of({"rope_type"}, "original_max_position_embeddings", &original_max_position_embeddings,
              "context before scaling, in tokens; beyond it dynamic RoPE changes (default: "
              "max_position_embeddings)",
              {.at_least = 1});
  f.option_of({"rope_type"}, "beta_fast", &beta_fast,
              "channels that turn more often in the original context stay", {.above = 0});
  f.option_of({"rope_type"}, "beta_slow", &beta_slow,
              "channels that turn less often in the original context are stretched in full",
              {.above = 0});
  f.option_of({"rope_type"}, "attention_factor", &attention_factor,
              "factor of cos and sin (default: from factor, mscale and mscale_all_dim)",
              {.above = 0});
  f.option_of({"rope_type"}, "mscale", &mscale, "weight of log(factor) in attention_factor",
              {.at_least = 0});
  f.option_of({"rope_type"}, "mscale_all_dim", &mscale_all_dim,
              "the same in its denominator; counts where mscale is set, too", {.at_least = 0});
  f.option_of({"rope_type"}, "truncate", &truncate, "the blended channels are whole numbers");
}

void ModelConfig::declare(Fields& f) {
  constexpr double kMaxDimension = 1 << 24;
  f.add("hidden_size", &hidden_size, "width of the residual stream",
        {.at_least = 1, .at_most = kMaxDimension});
  f.add("intermediate_size", &intermediate_size, "width of the feed-forward's inner layer",
        {.at_least = 1, .at_most = kMaxDimension});
  f.add("num_hidden_layers", &num_hidden_layers, "blocks", {.at_least = 1, .at_most = 100000});
  f.add("num_attention_heads", &num_attention_heads, "query heads",
        {.at_least = 1, .at_most = 65536});
  f.add("num_key_value_heads", &num_key_value_heads,
        "key and value heads (default: num_attention_heads)", {.at_least = 1, .at_most = 65536});
  f.add("head_dim", &head_dim, "channels of a head (default: hidden_size / num_attention_heads)",
        {.at_least = 2, .at_most = 65536});
  f.add("vocab_size", &vocab_size, "rows of the embedding",
        {.at_least = 2, .at_most = kMaxDimension});
  f.add("rms_norm_eps", &rms_norm_eps, "added to the mean square in a norm",
        {.above = 0, .at_most = 1});
  f.add("rope_theta", &rope_theta, "base of the rotary frequencies", {.above = 1});
  f.section("rope_scaling", rope_scaling);
  f.add("tie_word_embeddings", &tie_word_embeddings, "the head shares the embedding's weight");
  f.add("attention_bias", &attention_bias, "query, key, value and output projections have a bias");
  f.when(
      "model.attention_bias is true", [this] { return attention_bias; }, "attention_output_bias",
      &attention_output_bias, "the output projection has a bias, too (in Qwen2 it has none)");
  f.one_of(
      "qk_norm", qk_norm, {"auto", "none", "head", "full"},
      "RMSNorm of query and key, over each head (Qwen3) or all channels (OLMo 2); auto: as the "
      "placement says");
  f.add("max_position_embeddings", &max_position_embeddings,
        "longest context without rope_scaling, in tokens", {.at_least = 1});
  f.add("initializer_range", &initializer_range, "std of the start values of weights",
        {.above = 0, .at_most = 10});
  f.section("norm", norm);
  f.section("init", init);
}

namespace {

constexpr double kMaxParameters = 1e14;  // far below where a product of sizes leaves 64 bits

/// The weights of all matrices, in floating point: this is the check that the product fits.
double parameters_at_least(const ModelConfig& model) {
  const auto hidden = static_cast<double>(model.hidden_size);
  const auto heads = static_cast<double>(model.num_attention_heads + model.key_value_heads());
  const double attention = 2 * hidden * heads * static_cast<double>(model.head_size());
  const double feed_forward = 3 * hidden * static_cast<double>(model.intermediate_size);
  return static_cast<double>(model.num_hidden_layers) * (attention + feed_forward) +
         hidden * static_cast<double>(model.vocab_size);
}

}  // namespace

std::vector<std::string> ModelConfig::inconsistencies() const {
  std::vector<std::string> broken;
  if (!head_dim && hidden_size % num_attention_heads != 0)
    broken.push_back(cat("model.hidden_size is ", hidden_size,
                         ", not a multiple of num_attention_heads (", num_attention_heads,
                         "); change one, or set model.head_dim"));
  else if (head_size() % 2 != 0)
    broken.push_back(
        cat("model.head_dim is ", head_size(), "; rotary embedding needs an even number"));
  if (num_attention_heads % key_value_heads() != 0)
    broken.push_back(cat("model.num_key_value_heads is ", key_value_heads(),
                         "; it must divide num_attention_heads (", num_attention_heads, ")"));
  if (parameters_at_least(*this) > kMaxParameters)
    broken.push_back(cat("model.num_hidden_layers is ", num_hidden_layers, ", with hidden_size ",
                         hidden_size, " and intermediate_size ", intermediate_size,
                         ": more than 1e14 parameters; lower one"));
  if (norm.post_layers && *norm.post_layers > num_hidden_layers)
    broken.push_back(cat("model.norm.post_layers is ", *norm.post_layers, "; the model has ",
                         num_hidden_layers, " layers"));
  if (rope_scaling.rope_type == "dynamic" && head_size() < 4)
    broken.push_back(
        cat("model.head_dim is ", head_size(), "; rope_type dynamic needs at least 4"));
  if (rope_scaling.rope_type == "yarn" && rope_scaling.beta_fast < rope_scaling.beta_slow)
    broken.push_back(cat("model.rope_scaling.beta_fast is ", rope_scaling.beta_fast,
                         "; it must be at least beta_slow (", rope_scaling.beta_slow, ")"));
  if (rope_scaling.rope_type == "llama3" &&
      rope_scaling.high_freq_factor <= rope_scaling.low_freq_factor)
    broken.push_back(cat("model.rope_scaling.high_freq_factor is ", rope_scaling.high_freq_factor,
                         "; it must be above low_freq_factor (", rope_scaling.low_freq_factor,
                         ")"));
  return broken;
}

}  // namespace fathom
