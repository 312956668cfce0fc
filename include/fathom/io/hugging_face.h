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

#include "fathom/base/json.h"
#include "fathom/base/log.h"
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

/// Residual steps that architectures of transformers have, once norm scales are folded.
enum class ModelForm {
  other,                ///< none of these
  pre,                  ///< Pre-LN
  pre_with_head_norms,  ///< and an RMSNorm on each head of query and key
  reordered             ///< norms on the outputs, and over all channels of query and key
};

/// A model as its directory describes it.
struct ModelDescription {
  ModelConfig model = {};
  SpecialTokens tokens = {};
  std::string dtype = "float32";   ///< of most weights, by torch's name
  bool norm_scale_folded = false;  ///< the gains of the norms hold the placement's norm_scale
  ModelForm form = ModelForm::other;
  /// transformers' name ("qwen2") for the architecture, where several compute the same.
  std::string model_type = {};
  Json plan = {};  ///< of every site (io/plan_json.h)
};

/// config.json. A model of a known form has an architecture of transformers 4 and 5; any other has
/// the model type "fathom", so that nothing takes it for a Llama, and modelling code of its own.
/// Both carry the whole ModelConfig and the plan in a block "fathom".
std::string config_json(const ModelDescription& description, const Choices& choices);

/// generation_config.json.
std::string generation_config_json(const SpecialTokens& tokens);

/// A SentencePiece model as tokenizer.model, tokenizer.json and tokenizer_config.json. transformers
/// then tokenizes as SentencePiece does, and adds BOS where it is asked to. (It can read
/// tokenizer.model by itself, but transformers 5 takes every model for BPE.) A model of whole words
/// has no tokenizer.json that says the same: there is only tokenizer.model.
/// @param tokenizer_model content of a .model file
/// @param add_bos each text starts with tokens.bos
/// @throws CheckpointError if it isn't one
TokenizerFiles sentencepiece_files(std::string_view tokenizer_model, const SpecialTokens& tokens,
                                   int64_t max_length, bool add_bos = false);

/// What to say of a SentencePiece model before it is trained with or exported: which programs will
/// read it otherwise than Fathom.
/// @param name of the file, for the text
std::vector<std::string> tokenizer_warnings(std::string_view tokenizer_model,
                                            const std::string& name);

/// Makes transformers put BOS before each text, or not: tokenizer_config.json says so, and
/// tokenizer.json where there is one.
/// @param bos its content
/// @throws CheckpointError if a file isn't JSON
void set_adds_bos(TokenizerFiles& files, bool adds_bos, const std::string& bos, int64_t id);

/// The ids that end a text when transformers generates: those of generation_config.json, or where
/// there is no such file of config.json.
/// @throws CheckpointError if a file can't be read
std::vector<int64_t> read_ends(const std::filesystem::path& directory);

/// The ids of a key: none, one or a list. Some releases write -1 for none.
/// @throws std::invalid_argument for anything else
std::vector<int64_t> read_token_ids(const Json& config, const char* key);

/// The tokenizer's files in a model directory, and its generation_config.json: what is carried
/// along unchanged. @throws DiskError
TokenizerFiles read_tokenizer_files(const std::filesystem::path& directory);

/// @throws CheckpointError if it isn't a directory; where it looks like the name of a model on the
/// Hugging Face hub, with the command that downloads that
void require_directory(const std::filesystem::path& directory);

/// The file of a model directory that decides its ids: tokenizer.model or else tokenizer.json. A
/// tokenizer.model of tiktoken's makes way for a tokenizer.json: it doesn't say how text is
/// divided.
/// @returns an empty path if there is neither
std::filesystem::path find_tokenizer(const std::filesystem::path& directory);

/// Writes config.json, the tokenizer's files, generation_config.json where they hold none, and for
/// the model type "fathom" modeling_fathom.py, with which transformers runs it.
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
  Json plan = {};  ///< null where the directory has none: model says it all
  /// Keys of a config.json without a block that say something and change nothing: transformers
  /// doesn't follow them either, or only in training.
  std::vector<std::string> read_over = {};
};

/// One line that names `read_over`, where there is any.
void warn_of_read_over(const std::filesystem::path& directory, const SavedModelConfig& saved,
                       const Log& log);

/// Reads DIRECTORY/config.json: the block "fathom", or without it one of the architectures of
/// transformers that Fathom computes (README.md lists them).
/// @param choices the tables that model keys choose from
/// @param overrides keys of a model without a block that its config.json doesn't say as it is:
/// model.norm.placement=lns for weights that were trained with it
/// @throws CheckpointError naming the key: another architecture, anything that changes what the
/// model computes and isn't supported (a sliding window, other activations, biases in the
/// feed-forward, other RoPE types, quantized weights, code of its own), values out of range, or a
/// block that contradicts a key around it that decides what the model computes; ConfigError for
/// overrides; DiskError
SavedModelConfig read_model_config(const std::filesystem::path& directory, const Choices& choices,
                                   const std::vector<Override>& overrides = {});

}  // namespace fathom
