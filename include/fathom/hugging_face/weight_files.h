// The weights of a model directory: model.safetensors, or the shards that
// model.safetensors.index.json lists.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/io/safetensors.h"

namespace fathom {

/// Whether a directory has weights under one of the two names.
/// @throws CheckpointError if it has only pickled ones
bool has_weights(const std::filesystem::path& directory);

/// "DIRECTORY holds neither ...", with what lies there instead and the way from that.
/// @param either what isn't there either
std::string no_weights(const std::filesystem::path& directory, std::string_view either = "");

class WeightCheck;

/// All tensors of a model directory, mapped.
class WeightFiles {
 public:
  /// Nothing in the index is trusted: a shard is a bare file name that ends in .safetensors, a
  /// regular file, and holds exactly the tensors that the index places in it.
  /// @throws CheckpointError that names the file and the tensor, also where both a single file and
  /// an index lie there, or neither; DiskError if a file can't be read
  explicit WeightFiles(const std::filesystem::path& directory);
  ~WeightFiles();
  WeightFiles(const WeightFiles&) = delete;
  WeightFiles& operator=(const WeightFiles&) = delete;

  /// The single file or the index, for messages.
  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, const SafetensorsFile::Tensor*>& tensors() const { return tensors_; }
  /// Hands on a tensor's bytes in parts; they are good once this has returned.
  /// @throws CheckpointError naming file and tensor where the bytes aren't those of the directory's
  /// manifest, or a number isn't finite
  void read(const std::string& name, const ByteSink& use) const;

 private:
  void open_shards(const std::filesystem::path& directory);

  std::filesystem::path path_;
  std::unique_ptr<const WeightCheck> check_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, const SafetensorsFile::Tensor*> tensors_;
};

/// A file of weights that is to be written.
struct WeightShard {
  std::string file;  ///< model.safetensors, or model-00001-of-00003.safetensors
  std::vector<TensorSpec> tensors;
};

/// Distributes tensors, in their order, over files of at most `max_bytes`; a larger tensor has a
/// file of its own.
std::vector<WeightShard> plan_shards(const std::vector<TensorSpec>& tensors, uint64_t max_bytes);

/// model.safetensors.index.json of several shards.
std::string index_json(const std::vector<WeightShard>& shards);

inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kWeightsIndex = "model.safetensors.index.json";

}  // namespace fathom
