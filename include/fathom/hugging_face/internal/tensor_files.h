// Between tensors and safetensors files.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fathom/io/safetensors.h"

namespace fathom {

using NamedTensors = std::map<std::string, torch::Tensor>;
using StoredTensors = std::map<std::string, const SafetensorsFile::Tensor*>;

/// The type of a file's tensors for those of LibTorch.
TensorType file_type(torch::ScalarType type);
/// And the other way round; nothing for a type that neither weights nor moments have.
std::optional<torch::ScalarType> tensor_type(TensorType type);

/// The tensors of one file.
void write_tensors(const std::filesystem::path& path, const NamedTensors& tensors);

/// A tensor of a file, as a copy: its bytes may be unaligned, and the map goes away.
/// @param read hands on its bytes
/// @throws CheckpointError for a type that no weight has
torch::Tensor to_tensor(const SafetensorsFile::Tensor& stored, const std::string& name,
                        const std::filesystem::path& path,
                        const std::function<void(const ByteSink&)>& read);

/// Compares names and shapes; every difference is named in one message, as silence about any would
/// train garbage.
/// @throws CheckpointError
void require_same_tensors(const StoredTensors& stored, const NamedTensors& expected,
                          const std::filesystem::path& path);

/// Copies a file's tensors into existing ones of the same names and shapes.
/// @param must_be_finite by name
/// @throws CheckpointError, also for bytes that aren't those of the directory's manifest
void read_tensors(const std::filesystem::path& path, NamedTensors& into,
                  const std::function<bool(const std::string&)>& must_be_finite);

}  // namespace fathom
