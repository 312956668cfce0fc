#include "fathom/io/weight_files.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/base/json.h"
#include "quote_name.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxIndexBytes = 8 << 20;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

using WeightMap = std::map<std::string, std::string>;  // tensor -> file

/// A name that stays in its directory.
void check_shard_name(const std::string& file, const std::string& tensor) {
  const bool plain = std::all_of(file.begin(), file.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  });
  if (!plain || file.starts_with(".") || !file.ends_with(".safetensors"))
    throw std::invalid_argument(cat("tensor ", quote_name(tensor), " is in ", quote_name(file),
                                    "; allowed: a name that ends in .safetensors, without a "
                                    "folder"));
}

WeightMap read_index(const fs::path& path) {
  const std::string text = read_text_file(path, kMaxIndexBytes);
  try {
    const Json index = parse_json(text, path.string());
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object() ||
        index["weight_map"].empty())
      throw std::invalid_argument("has no weight_map");
    WeightMap map;
    for (const auto& [tensor, file] : index["weight_map"].items()) {
      if (!file.is_string())
        throw std::invalid_argument(cat("tensor ", quote_name(tensor), " has no file name"));
      map[tensor] = file.get<std::string>();
      refuse_pickled_weights(path.parent_path() / fs::path(map[tensor]).filename());
      check_shard_name(map[tensor], tensor);
    }
    return map;
  } catch (const std::invalid_argument& error) {
    const std::string what = error.what();
    throw CheckpointError(what.starts_with(path.string()) ? what : cat(path.string(), ": ", what));
  }
}

}  // namespace

bool has_weights(const fs::path& directory) {
  if (is_there(directory / kWeightsFile) || is_there(directory / kWeightsIndex)) return true;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored))
    refuse_pickled_weights(entry.path());
  return false;
}

WeightFiles::WeightFiles(const fs::path& directory) {
  if (!has_weights(directory))
    throw CheckpointError(
        cat(directory.string(), " holds neither ", kWeightsFile, " nor ", kWeightsIndex));
  const bool single = is_there(directory / kWeightsFile);
  if (single && is_there(directory / kWeightsIndex))
    throw CheckpointError(cat(directory.string(), " holds both ", kWeightsFile, " and ",
                              kWeightsIndex, ", which may differ; remove one"));
  path_ = directory / (single ? kWeightsFile : kWeightsIndex);
  if (!single) {
    open_shards(directory);
    return;
  }
  files_.emplace_back(path_);
  for (const auto& [name, tensor] : files_[0].tensors()) tensors_[name] = &tensor;
}

void WeightFiles::open_shards(const fs::path& directory) {
  const WeightMap map = read_index(path_);
  std::map<std::string, size_t> shards;
  for (const auto& entry : map) shards.emplace(entry.second, shards.size());
  for (const auto& shard : shards) {
    files_.emplace_back(directory / shard.first);
    for (const auto& [name, tensor] : files_.back().tensors()) {
      const auto listed = map.find(name);
      if (listed == map.end() || listed->second != shard.first)
        throw CheckpointError(
            cat(path_.string(), ": tensor ", quote_name(name), " is in ", shard.first,
                listed == map.end() ? ", but isn't listed"
                                    : cat(", but is listed in ", listed->second)));
      tensors_[name] = &tensor;
    }
  }
  for (const auto& [name, file] : map) {
    if (tensors_.count(name) == 0)
      throw CheckpointError(
          cat(path_.string(), ": tensor ", quote_name(name), " is listed, but isn't in ", file));
  }
}

std::vector<WeightShard> plan_shards(const std::vector<TensorSpec>& tensors, uint64_t max_bytes) {
  std::vector<WeightShard> shards(1);
  uint64_t bytes = 0;
  for (const TensorSpec& tensor : tensors) {
    const uint64_t size = tensor.num_bytes();
    if (!shards.back().tensors.empty() && (size > max_bytes || bytes > max_bytes - size)) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().tensors.push_back(tensor);
    bytes += size;
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    shards[i].file = shards.size() == 1 ? kWeightsFile : name;
  }
  return shards;
}

std::string index_json(const std::vector<WeightShard>& shards) {
  uint64_t bytes = 0;
  WeightMap map;
  for (const WeightShard& shard : shards) {
    for (const TensorSpec& tensor : shard.tensors) {
      bytes += tensor.num_bytes();
      map[tensor.name] = shard.file;
    }
  }
  Json weight_map = Json::object();
  for (const auto& [tensor, file] : map) weight_map.push_back({tensor, file});
  return Json({{"metadata", {{"total_size", bytes}}}, {"weight_map", weight_map}}).dump(2) + "\n";
}

}  // namespace fathom
