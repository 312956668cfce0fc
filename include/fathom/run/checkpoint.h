// Checkpoints: a Hugging Face model directory that also holds what a bit-exact resume needs.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fathom/base/log.h"
#include "fathom/base/stop.h"
#include "fathom/config/run_config.h"
#include "fathom/hugging_face/hugging_face.h"
#include "fathom/io/checkpoint_directory.h"
#include "fathom/io/disk_room.h"
#include "fathom/model/llama.h"
#include "fathom/train/observer.h"
#include "fathom/train/state.h"

namespace fathom {

/// What makes a resumed run the same run.
struct RunIdentity {
  std::map<std::string, std::string> config;  ///< effective config values, by key
  std::string train_data;                     ///< checksums of the token files, in order
  std::string tokenizer;                      ///< checksum of the tokenizer
  std::string numerics;                       ///< threads, instructions, versions (train/device.h)
  /// Of each step from 1 on. A schedule is a function of all steps, so a longer run changes it.
  std::function<double(int64_t step)> learning_rate = {};
};

/// What a checkpoint holds beside the TrainState.
struct CheckpointContent {
  RunIdentity identity;
  Choices choices;           ///< the tables that config keys choose from
  TokenizerFiles tokenizer;  ///< that the checkpoint carries along
  SpecialTokens tokens;
  std::string model_type = {};  ///< of the model that the run started from
};

/// Observer::state by Observer::name.
using ObserverStates = std::map<std::string, Json>;

/// The states of those that have one.
ObserverStates states_of(const std::vector<Observer*>& observers);

/// What a checkpoint is made of: what a resume needs beside the model may be left out.
enum class CheckpointParts { all, model_only };

/// Bytes of the checkpoints of a run.
CheckpointBytes checkpoint_bytes(const RunConfig& config, const ModelPlan& plan);

/// Writes ROOT/step-XXXXXXXX. LayerNorm Scaling's factors are folded into the gains of
/// model.safetensors, so that any Llama runtime computes the same; the unfolded gains lie with the
/// moments in optimizer.safetensors.
/// @param observers what they must know after a resume
/// @throws DiskError; the checkpoints of before are then as they were
Checkpoint save_checkpoint(const std::filesystem::path& root, TrainState& state,
                           const CheckpointContent& content, const ObserverStates& observers = {},
                           CheckpointParts parts = CheckpointParts::all);

/// "", or why no run can go on from a checkpoint, whose files may all be sound: it holds the model
/// alone.
std::string why_not_resumable(const std::filesystem::path& directory);

/// Restores a state that was built with the same config. The files must have been verified
/// (checkpoint_directory.h).
/// @param now the identity of the run that resumes: model, data, tokenizer, seeds, precision and
/// optimizer must be the
///   same; what else differs (learning rate, steps, intervals) is logged, and what that does to the
///   learning rate
/// @param deterministic another numerics fingerprint is an error instead of a warning
/// @returns what observers must know
/// @throws CheckpointError naming every key that must not differ, with both values
ObserverStates load_checkpoint(const std::filesystem::path& directory, TrainState& state,
                               const RunIdentity& now, bool deterministic, const Log& log);

/// Sets the keys of data.* as the run of a checkpoint had them. A directory that is no checkpoint
/// (it has no state.json) sets none, and so does a key of another release.
/// @throws CheckpointError if it can't be read
void read_data_settings(const std::filesystem::path& directory, DataConfig& data,
                        const Choices& choices);

}  // namespace fathom
