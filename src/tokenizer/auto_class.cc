#include "tokenizer/auto_class.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace fathom {
namespace {

using nlohmann::json;

constexpr std::string_view kBackend = "TokenizersBackend";
constexpr const char* kSpacePiece = "\xE2\x96\x81";

/// What transformers registers for a model type, of those that generate text. Where it knows that
/// releases name a wrong class, it obeys its own.
struct Registered {
  std::string_view model_type, name;
  bool over_named = false;
};
constexpr std::array kRegistered = {Registered{"arctic", kBackend},
                                    Registered{"code_llama", "CodeLlamaTokenizer"},
                                    Registered{"ernie4_5", kBackend},
                                    Registered{"ernie4_5_moe", kBackend},
                                    Registered{"flex_olmo", kBackend},
                                    Registered{"gemma", "GemmaTokenizer"},
                                    Registered{"gemma2", "GemmaTokenizer"},
                                    Registered{"gemma3", "GemmaTokenizer"},
                                    Registered{"gemma3_text", "GemmaTokenizer"},
                                    Registered{"glm", kBackend},
                                    Registered{"glm4", kBackend},
                                    Registered{"glm4_moe", kBackend},
                                    Registered{"gpt_bigcode", kBackend},
                                    Registered{"granite", kBackend},
                                    Registered{"granitemoe", kBackend},
                                    Registered{"granitemoehybrid", kBackend},
                                    Registered{"granitemoeshared", kBackend},
                                    Registered{"internlm2", kBackend},
                                    Registered{"internlm3", kBackend},
                                    Registered{"jamba", kBackend},
                                    Registered{"minicpm3", kBackend},
                                    Registered{"minimax_m2", kBackend},
                                    Registered{"ministral", kBackend},
                                    Registered{"ministral3", kBackend},
                                    Registered{"mistral", kBackend},
                                    Registered{"mistral3", kBackend},
                                    Registered{"mixtral", kBackend},
                                    Registered{"nemotron", kBackend},
                                    Registered{"olmo2", kBackend},
                                    Registered{"olmo3", kBackend},
                                    Registered{"persimmon", kBackend},
                                    Registered{"phi3", kBackend},
                                    Registered{"phimoe", kBackend},
                                    Registered{"qwen2", "Qwen2Tokenizer", true},
                                    Registered{"qwen3", "Qwen2Tokenizer"},
                                    Registered{"recurrent_gemma", "GemmaTokenizer"},
                                    Registered{"stablelm", kBackend}};

AutoClass named_class(std::string_view name) {
  if (name == "LlamaTokenizer") return {std::string(name), BuiltAs::kLlama};
  if (name == "GemmaTokenizer") return {std::string(name), BuiltAs::kGemma};
  if (name.empty() || name == kBackend || name == "PreTrainedTokenizer" || name == "PythonBackend")
    return {std::string(kBackend), BuiltAs::kFile};
  return {std::string(name), BuiltAs::kOther};
}

json step(const char* type) { return {{"type", type}}; }

json replace(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

}  // namespace

AutoClass auto_class(std::string named, const std::string& model_type, bool has_byte_level) {
  constexpr std::string_view kFast = "Fast";
  if (named.ends_with(kFast)) named.resize(named.size() - kFast.size());
  const auto* row =
      std::find_if(kRegistered.begin(), kRegistered.end(),
                   [&](const auto& candidate) { return candidate.model_type == model_type; });
  const bool is_registered = row != kRegistered.end();
  if (named.empty()) return named_class(is_registered ? row->name : "");
  if (is_registered && row->over_named) return named_class(row->name);
  if (named == "LlamaTokenizer" && has_byte_level) return named_class(kBackend);
  if (is_registered && row->name == kBackend) return named_class(kBackend);
  return named_class(named);
}

void rebuild(BuiltAs built_as, const std::string& scheme, json& tokenizer) {
  if (!tokenizer.is_object() || !tokenizer.contains("model")) return;
  json& model = tokenizer["model"];
  if (!model.is_object() || model.value("type", json("BPE")) != "BPE") return;
  const bool is_llama = built_as == BuiltAs::kLlama;
  // Gemma keeps the piece for what is unknown, Llama has none.
  const json unknown = is_llama ? json() : model.value("unk_token", json());
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix", "dropout"})
    model.erase(key);
  model["fuse_unk"] = model["byte_fallback"] = true;
  model["ignore_merges"] = false;
  model["unk_token"] = unknown;
  json decoders = {replace(kSpacePiece, " "), step("ByteFallback"), step("Fuse")};
  if (is_llama && scheme != "never")
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  tokenizer["decoder"] = {{"type", "Sequence"}, {"decoders", decoders}};
  tokenizer["normalizer"] = is_llama ? json() : replace(" ", kSpacePiece);
  // Gemma's divides at spaces, and its normalizer has left none.
  tokenizer["pre_tokenizer"] = !is_llama ? json()
                                         : json{{"type", "Metaspace"},
                                                {"replacement", kSpacePiece},
                                                {"prepend_scheme", scheme},
                                                {"split", false}};
  tokenizer["added_tokens"] = json::array();  // the settings list those that count
}

}  // namespace fathom
