#include "families.h"

#include <algorithm>

namespace fathom {
namespace {

bool computes(const Family& family, const ModelConfig& model) {
  if (family.query_key_norm != model.qk_norm) return false;
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

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> rows = {
      // Also DeepSeek-LLM, SmolLM, and the models of the LayerNorm Scaling paper.
      {"llama", "LlamaForCausalLM", false, BiasRule::by_key, WindowRule::none, Json::object()},
      {"mistral",
       "MistralForCausalLM",
       false,
       BiasRule::never,
       WindowRule::by_key,
       {{"num_key_value_heads", 8}, {"max_position_embeddings", 131072}, {"sliding_window", 4096}}},
      {"qwen2",
       "Qwen2ForCausalLM",
       false,
       BiasRule::all_but_output,
       WindowRule::where_switched_on,
       {{"num_key_value_heads", 32}, {"max_position_embeddings", 32768}, {"sliding_window", 4096}}},
      {"qwen3",
       "Qwen3ForCausalLM",
       true,
       BiasRule::by_key,
       WindowRule::where_switched_on,
       {{"num_key_value_heads", 32},
        {"head_dim", 128},
        {"max_position_embeddings", 32768},
        {"sliding_window", 4096}}},
  };
  return rows;
}

const Family* find_family(std::string_view model_type) {
  const auto& rows = families();
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [&](const Family& f) { return f.model_type == model_type; });
  return row == rows.end() ? nullptr : &*row;
}

const Family* family_of(const ModelConfig& model, std::string_view preferred) {
  const Family* wanted = find_family(preferred);
  if (wanted != nullptr && computes(*wanted, model)) return wanted;
  const auto& rows = families();
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const Family& f) { return computes(f, model); });
  return row == rows.end() ? nullptr : &*row;
}

}  // namespace fathom
