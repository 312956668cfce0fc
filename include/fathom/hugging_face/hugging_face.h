// The files that make a directory of weights a Hugging Face model directory, and the way back from
// config.json to a ModelConfig.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/json.h"
#include "fathom/base/log.h"
#include "fathom/config/load.h"
#include "fathom/tokenizer/tokenizer_files.h"

namespace fathom {

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
  Json plan = {};  ///< of every site (hugging_face/plan_json.h)
};

/// config.json. A model of a known form has an architecture of transformers 4 and 5; any other has
/// the model type "fathom", so that nothing takes it for a Llama, and modelling code of its own.
/// Both carry the whole ModelConfig and the plan in a block "fathom".
std::string config_json(const ModelDescription& description, const Choices& choices);

/// generation_config.json.
std::string generation_config_json(const SpecialTokens& tokens);

/// @throws CheckpointError if it isn't a directory; where it looks like the name of a model on the
/// Hugging Face hub, with the command that downloads that
void require_directory(const std::filesystem::path& directory);

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
