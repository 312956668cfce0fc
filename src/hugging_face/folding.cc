#include "fathom/hugging_face/internal/folding.h"

#include "fathom/base/error.h"

namespace fathom {
namespace {

/// Where the names of one site's parameters begin, and what its matrices are called.
struct SiteNames {
  std::string input_norm, prefix;
  std::vector<std::string> first;  // matrices that read the input
  std::string last;                // the matrix that makes the output
};

SiteNames names_at(size_t layer, Sublayer sublayer) {
  const std::string at = cat("model.layers.", layer, ".");
  if (sublayer == Sublayer::attention)
    return {at + "input_layernorm",
            at + "attention_",
            {at + "self_attn.q_proj", at + "self_attn.k_proj", at + "self_attn.v_proj"},
            at + "self_attn.o_proj"};
  return {at + "post_attention_layernorm",
          at + "feed_forward_",
          {at + "mlp.gate_proj", at + "mlp.up_proj"},
          at + "mlp.down_proj"};
}

bool changes(const Fold& fold) {
  return fold.factor != 1.0 || !fold.gain.empty() || !fold.exponent.empty();
}

void fold_site(SitePlan& site, const SiteNames& names, bool output_bias, Folding& into) {
  Fold input{.factor = site.norm_scale};
  if (site.norm_exponent.learned) {
    input.exponent = names.prefix + "norm_exponent";
    input.base = site.norm_exponent.base;
    into.absorbed.push_back(input.exponent);
  }
  std::vector<std::string> readers = {names.input_norm};
  if (!site.input_norm.present()) {
    input.factor *= site.input_scale;
    site.input_scale = 1.0;
    readers = names.first;
  }
  for (const std::string& reader : readers) {
    if (changes(input)) into.folds[reader + ".weight"] = input;
  }
  site.norm_scale = 1.0;
  site.norm_exponent = {};

  Fold output{.factor = site.output_scale};
  if (site.branch_gain.present()) {
    output.gain = names.prefix + "branch_gain";
    into.absorbed.push_back(output.gain);
  }
  const bool norm = site.output_norm.present();
  if (changes(output)) {
    into.folds[(norm ? names.prefix + "output_norm" : names.last) + ".weight"] = output;
    if (!norm && output_bias) into.folds[names.last + ".bias"] = output;
  }
  site.output_scale = 1.0;
  site.branch_gain = {};
}

bool has_plain_ends(const ModelPlan& plan) {
  return plan.final_norm == NormKind::rms && !plan.embedding_norm.present() &&
         !plan.embedding_gain.present();
}

}  // namespace

ModelForm form_of(const ModelPlan& plan) {
  if (is_plain_llama(plan))
    return plan.layers.front().attention.query_norm == HeadNorm::head
               ? ModelForm::pre_with_head_norms
               : ModelForm::pre;
  const auto is_reordered = [](SitePlan site, HeadNorm head_norm) {
    SitePlan reordered;
    reordered.output_norm = NormKind::rms;
    reordered.query_norm = reordered.key_norm = head_norm;
    site.start = {};  // start values are gone once a model is trained
    return site == reordered;
  };
  for (const LayerPlan& layer : plan.layers) {
    if (!is_reordered(layer.attention, HeadNorm::full) ||
        !is_reordered(layer.feed_forward, HeadNorm::none))
      return ModelForm::other;
  }
  return has_plain_ends(plan) ? ModelForm::reordered : ModelForm::other;
}

std::map<std::string, double> folded_factors(const ModelPlan& plan) {
  std::map<std::string, double> factors;
  if (!is_plain_llama(plan)) return factors;
  for (const auto& [name, folded] : fold(plan, {}).folds) factors[name] = folded.factor;
  return factors;
}

Folding fold(const ModelPlan& plan, const ModelConfig& config) {
  Folding folding{.plan = plan};
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    LayerPlan& layer = folding.plan.layers[i];
    fold_site(layer.attention, names_at(i, Sublayer::attention), config.output_bias(), folding);
    fold_site(layer.feed_forward, names_at(i, Sublayer::feed_forward), false, folding);
  }
  return folding;
}

}  // namespace fathom
