// The files that make a directory of weights a Hugging Face model directory, and the way back from
// config.json to a ModelConfig.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/config/load.h"

namespace fathom {

/// Token ids with a meaning; not set where the tokenizer has none.
struct SpecialTokens {
  std::optional<int64_t> bos = {};
  std::vector<int64_t> eos = {};  ///< some models end a text in several ways
  std::optional<int64_t> pad = {};
};

/// The content of a tokenizer's files, by name.
using TokenizerFiles = std::map<std::string, std::string>;

/// A model as its directory describes it.
struct ModelDescription {
  ModelConfig model = {};
  SpecialTokens tokens = {};
  std::string dtype = "float32";   ///< of most weights, by torch's name
  bool norm_scale_folded = false;  ///< the gains of the norms hold the placement's norm_scale
  /// Pre-LN, once norm scales are folded: an architecture of transformers may compute the same.
  bool plain_llama = false;
  /// transformers' name ("qwen2") for the architecture, where several compute the same.
  std::string model_type = {};
};

/// config.json. A plain model has an architecture of transformers 4 and 5; any other has the model
/// type "fathom", so that nothing takes it for a Llama. Both carry the whole ModelConfig in a block
/// "fathom".
std::string config_json(const ModelDescription& description, const Choices& choices);

/// generation_config.json.
std::string generation_config_json(const SpecialTokens& tokens);

/// A SentencePiece model as tokenizer.model, tokenizer.json and tokenizer_config.json. transformers
/// then tokenizes as SentencePiece does and adds neither BOS nor EOS. (It can read tokenizer.model
/// by itself, but transformers 5 takes every model for BPE.) Only unigram and BPE models have the
/// two JSON files.
/// @param tokenizer_model content of a .model file
/// @throws CheckpointError if it isn't one
TokenizerFiles sentencepiece_files(std::string_view tokenizer_model, const SpecialTokens& tokens,
                                   int64_t max_length);

/// The tokenizer's files in a model directory, and its generation_config.json: what is carried
/// along unchanged. @throws DiskError
TokenizerFiles read_tokenizer_files(const std::filesystem::path& directory);

/// The file of a model directory that decides its ids: tokenizer.model or else tokenizer.json.
/// @returns an empty path if there is neither
std::filesystem::path find_tokenizer(const std::filesystem::path& directory);

/// Writes config.json, the tokenizer's files, and generation_config.json where they hold none.
/// @throws DiskError
void write_hugging_face_files(const std::filesystem::path& directory,
                              const ModelDescription& description, const TokenizerFiles& tokenizer,
                              const Choices& choices);

/// What config.json says of the model.
struct SavedModelConfig {
  ModelConfig model = {};
  bool norm_scale_folded = false;
  std::string model_type = {};  ///< as in ModelDescription; "" for "fathom"
  SpecialTokens tokens = {};
};

/// Reads DIRECTORY/config.json: the block "fathom", or without it one of the architectures of
/// transformers that Fathom computes: Llama, Mistral, Qwen2, Qwen3.
/// @param choices the tables that model keys choose from
/// @param overrides keys of a model without a block that its config.json doesn't say as it is:
/// model.norm.placement=lns for weights that were trained with it
/// @throws CheckpointError naming the key: another architecture, anything that changes what the
/// model computes and isn't supported (a sliding window, other activations, biases in the
/// feed-forward, other RoPE types, quantized weights, code of its own), values out of range, or a
/// block that contradicts the keys around it; ConfigError for overrides; DiskError
SavedModelConfig read_model_config(const std::filesystem::path& directory, const Choices& choices,
                                   const std::vector<Override>& overrides = {});

}  // namespace fathom
