#include "families.h"

#include <algorithm>
#include <array>

namespace fathom {
namespace {

bool computes(const Family& family, ModelForm form, const ModelConfig& model) {
  if (family.form != form) return false;
  switch (family.bias) {
    case BiasRule::never:
      return !model.attention_bias;
    case BiasRule::by_key:
      return model.output_bias() == model.attention_bias;
    case BiasRule::all_but_output:
      return model.attention_bias && !model.output_bias();
  }
  return false;
}

struct Rename {
  std::string_view ours, theirs;
};

/// OLMo 2 calls its output norms by the place after which they come.
constexpr std::array kReordered = {
    Rename{".attention_output_norm.", ".post_attention_layernorm."},
    Rename{".feed_forward_output_norm.", ".post_feedforward_layernorm."}};

std::string replaced(std::string name, std::string_view from, std::string_view to) {
  const size_t at = name.find(from);
  return at == std::string::npos ? name : name.replace(at, from.size(), to);
}

}  // namespace

std::string stored_name(ModelForm form, const std::string& name) {
  std::string stored = name;
  if (form != ModelForm::reordered) return stored;
  for (const Rename& row : kReordered) stored = replaced(stored, row.ours, row.theirs);
  return stored;
}

std::string name_of_stored(ModelForm form, const std::string& stored) {
  std::string name = stored;
  if (form != ModelForm::reordered) return name;
  for (const Rename& row : kReordered) name = replaced(name, row.theirs, row.ours);
  return name;
}

const std::vector<Family>& families() {
  static const std::vector<Family> rows = {
      // Also DeepSeek-LLM, SmolLM, and the models of the LayerNorm Scaling paper.
      {"llama", "LlamaForCausalLM", ModelForm::pre, BiasRule::by_key, WindowRule::none,
       Json::object()},
      {"mistral",
       "MistralForCausalLM",
       ModelForm::pre,
       BiasRule::never,
       WindowRule::by_key,
       {{"num_key_value_heads", 8}, {"max_position_embeddings", 131072}, {"sliding_window", 4096}}},
      {"qwen2",
       "Qwen2ForCausalLM",
       ModelForm::pre,
       BiasRule::all_but_output,
       WindowRule::where_switched_on,
       {{"num_key_value_heads", 32},
        {"max_position_embeddings", 32768},
        {"sliding_window", 4096},
        {"max_window_layers", 28}}},
      {"qwen3",
       "Qwen3ForCausalLM",
       ModelForm::pre_with_head_norms,
       BiasRule::by_key,
       WindowRule::where_switched_on,
       {{"num_key_value_heads", 32},
        {"head_dim", 128},
        {"max_position_embeddings", 32768},
        {"sliding_window", 4096},
        {"max_window_layers", 28}}},
      {"olmo2",
       "Olmo2ForCausalLM",
       ModelForm::reordered,
       BiasRule::by_key,
       WindowRule::none,
       {{"rms_norm_eps", 1e-5}}},
  };
  return rows;
}

const Family* find_family(std::string_view model_type) {
  const auto& rows = families();
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [&](const Family& f) { return f.model_type == model_type; });
  return row == rows.end() ? nullptr : &*row;
}

const Family* family_of(ModelForm form, const ModelConfig& model, std::string_view preferred) {
  const Family* wanted = find_family(preferred);
  if (wanted != nullptr && computes(*wanted, form, model)) return wanted;
  const auto& rows = families();
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [&](const Family& f) { return computes(f, form, model); });
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace fathom
