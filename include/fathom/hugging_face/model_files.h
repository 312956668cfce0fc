// Models in directories: loading them, and writing one as another.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fathom/base/log.h"
#include "fathom/base/stop.h"
#include "fathom/hugging_face/hugging_face.h"
#include "fathom/model/llama.h"

namespace fathom {

/// Loads a checkpoint or a Hugging Face directory of a supported architecture.
/// @param dtype of weights and compute
/// @throws CheckpointError naming the file, and every tensor that is missing, unknown or of another
/// shape
Llama load_model(const std::filesystem::path& directory, torch::Device device,
                 torch::ScalarType dtype, const Choices& choices);

/// Writes a model as a directory that `load_model`, train.init_from and transformers read, without
/// a tokenizer. It appears when it is complete.
/// @param directory doesn't exist or is empty
/// @throws ConfigError for the directory, DiskError
void save_model(const std::filesystem::path& directory, const Llama& model, const Choices& choices);

/// Weights that were trained with one plan mean little in another.
/// @throws CheckpointError where the directory states another plan than this one, start values
/// aside
void require_same_plan(const std::filesystem::path& directory, const ModelPlan& plan,
                       const Choices& choices);

/// Gives a model that was built with its own plan the weights of a directory: gains that hold the
/// factors of LayerNorm Scaling are divided by them.
/// @throws CheckpointError as `load_model` does
void load_weights(const std::filesystem::path& directory, Llama& model, const Choices& choices);

/// The newest valid checkpoint below a run's directory, or the directory itself if it holds a
/// model.
/// @throws CheckpointError if there is neither
std::filesystem::path find_model(const std::filesystem::path& directory, const StopFlag& stop,
                                 const Log& log);

struct CopyOptions {
  /// Of all tensors but gains that hold a factor, which are float32; default: as they are.
  std::optional<torch::ScalarType> dtype = {};
  uint64_t max_shard_bytes = 5'000'000'000;
  std::vector<Override> overrides = {};  ///< see read_model_config
  /// Puts learned gains and all scales into the weights, too, where the result then is an
  /// architecture of transformers. What is written says nothing of the placement any more.
  bool fold_gains = false;
};

struct CopiedModel {
  ModelDescription description;  ///< that the copy was written with
  SavedModelConfig source;       ///< of the model that was copied
  bool gains_folded = false;
};

/// Writes a model directory as another, tensor by tensor; the tokenizer's files are carried along.
/// Factors that aren't folded into the gains yet are folded where the result is an architecture of
/// transformers. The new directory appears when it is complete.
/// @param to doesn't exist or is empty
/// @throws CheckpointError, ConfigError for `to` and overrides, DiskError, Interrupted
CopiedModel copy_model(const std::filesystem::path& from, const std::filesystem::path& to,
                       const CopyOptions& options, const Choices& choices, const StopFlag& stop);

/// The weights of a model by name, without gradients.
std::map<std::string, torch::Tensor> named_weights(const Llama& model);

/// What a model's directory holds of it: weights under the files' names, factors folded into gains
/// where an architecture of transformers then computes the same, in float32.
std::map<std::string, torch::Tensor> stored_weights(const Llama& model);

/// What config.json says of a model; tokens and model_type are left to the caller.
ModelDescription describe_model(const Llama& model);

/// The same tensors under the names that files of models of this form have.
std::map<std::string, torch::Tensor> as_stored(const std::map<std::string, torch::Tensor>& weights,
                                               ModelForm form);

}  // namespace fathom
