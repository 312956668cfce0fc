// The files that make a directory of weights a Hugging Face model directory, and the way back from
// config.json to a ModelConfig.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "fathom/base/json.h"
#include "fathom/config/model_config.h"

namespace fathom {

/// Token ids with a meaning; not set where the tokenizer has none.
struct SpecialTokens {
  std::optional<int64_t> bos = {};
  std::optional<int64_t> eos = {};
  std::optional<int64_t> pad = {};
};

/// A model as its directory describes it.
struct ModelDescription {
  ModelConfig model = {};
  SpecialTokens tokens = {};
  std::string dtype = "float32";   ///< of most weights, by torch's name
  bool norm_scale_folded = false;  ///< the gains of the norms hold the placement's norm_scale
  /// LlamaForCausalLM (with head_norms: Qwen3ForCausalLM) computes the same from these weights.
  bool plain_llama = false;
  bool head_norms = false;  ///< an RMSNorm on each head of query and key
  Json plan = {};           ///< of every site (io/plan_json.h)
};

/// config.json. A plain model is a LlamaForCausalLM that transformers 4 and 5 read; any other has
/// the model type "fathom", so that nothing takes it for a Llama. Both carry the whole ModelConfig
/// in a block "fathom".
std::string config_json(const ModelDescription& description, const Choices& choices);

/// generation_config.json.
std::string generation_config_json(const SpecialTokens& tokens);

/// Writes config.json and generation_config.json, and for a tokenizer its copy as tokenizer.model,
/// tokenizer.json and tokenizer_config.json. transformers then tokenizes as SentencePiece does and
/// adds neither BOS nor EOS. (It can read tokenizer.model by itself, but transformers 5 takes every
/// model for BPE.) Only unigram and BPE models have the two JSON files.
/// @param tokenizer_model content of a SentencePiece .model; empty: no tokenizer files
/// @throws CheckpointError if it isn't one, DiskError
void write_hugging_face_files(const std::filesystem::path& directory,
                              const ModelDescription& description, std::string_view tokenizer_model,
                              const Choices& choices);

/// What config.json says of the model.
struct SavedModelConfig {
  ModelConfig model = {};
  bool norm_scale_folded = false;
  Json plan = {};  ///< null where the directory has none: model says it all
};

/// Reads DIRECTORY/config.json: the block "fathom", or without it a plain Llama or Qwen3.
/// @param choices the tables that model keys choose from
/// @throws CheckpointError naming the key: another architecture, anything that changes what the
/// model computes and isn't supported (sliding window, other activations, biases in the
/// feed-forward, other RoPE types, quantized weights, code of its own), values out of range, or a
/// block that contradicts the keys around it; DiskError
SavedModelConfig read_model_config(const std::filesystem::path& directory, const Choices& choices);

}  // namespace fathom
