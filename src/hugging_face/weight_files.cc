#include "fathom/hugging_face/weight_files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <stdexcept>

#include "fathom/base/error.h"
#include "fathom/base/internal/quote.h"
#include "fathom/base/json.h"
#include "fathom/io/internal/weight_check.h"

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
                                    "folder; correct weight_map"));
}

WeightMap read_index(const fs::path& path) {
  try {
    const Json index = parse_json(read_text_file(path, kMaxIndexBytes), path.string());
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object() ||
        index["weight_map"].empty())
      throw std::invalid_argument(
          "has no weight_map with a file for each tensor; download it again");
    WeightMap map;
    for (const auto& [tensor, file] : index["weight_map"].items()) {
      if (!file.is_string())
        throw std::invalid_argument(cat("tensor ", quote_name(tensor),
                                        " has no file name in weight_map; download it again"));
      map[tensor] = file.get<std::string>();
      refuse_pickled_weights(path.parent_path() / fs::path(map[tensor]).filename());
      check_shard_name(map[tensor], tensor);
    }
    return map;
  } catch (const DataError& pointer) {
    throw CheckpointError(pointer.what());
  } catch (const std::invalid_argument& error) {
    const std::string what = error.what();
    throw CheckpointError(what.starts_with(path.string()) ? what : cat(path.string(), ": ", what));
  }
}

/// What is in a directory instead of weights, and the way from there; "" for nothing known.
std::string found_instead(const fs::path& directory) {
  struct Known {
    std::string_view start, end, advice;
  };
  constexpr std::array kKnown = {
      Known{"adapter_config", ".json",
            "an adapter: in PEFT, merge_and_unload() and save_pretrained(DIR) make it a model"},
      Known{"model-", ".safetensors", "a shard: download model.safetensors.index.json, too"},
      Known{"consolidated", ".safetensors",
            "weights under another format's names: download model*.safetensors"},
      Known{"", ".gguf",
            "llama.cpp's format: from_pretrained(DIR, gguf_file=NAME) and save_pretrained(DIR2) of "
            "transformers convert it"}};
  std::error_code ignored;
  for (const Known& row : kKnown) {
    for (const auto& entry : fs::directory_iterator(directory, ignored)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(row.start) && name.ends_with(row.end))
        return cat("; ", quote_name(name), " there is ", row.advice);
    }
  }
  return "";
}

/// Beside a model other pickled files may lie: a trainer's arguments, an optimizer's state.
bool may_be_weights(const fs::path& file) {
  constexpr std::array kStarts = {"pytorch_model", "model", "consolidated"};
  const std::string name = file.filename().string();
  return std::any_of(kStarts.begin(), kStarts.end(),
                     [&](const char* start) { return name.starts_with(start); });
}

}  // namespace

bool has_weights(const fs::path& directory) {
  if (is_there(directory / kWeightsFile) || is_there(directory / kWeightsIndex)) return true;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    if (may_be_weights(entry.path())) refuse_pickled_weights(entry.path());
  }
  return false;
}

std::string no_weights(const fs::path& directory, std::string_view either) {
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored)) return cat(directory.string(), " is no directory");
  return cat(directory.string(), " holds neither ", kWeightsFile, " nor ", kWeightsIndex, either,
             found_instead(directory));
}

WeightFiles::WeightFiles(const fs::path& directory)
    : check_(std::make_unique<const WeightCheck>(directory)) {
  if (!has_weights(directory))
    throw CheckpointError(cat(no_weights(directory), "; name a model's directory"));
  const bool single = is_there(directory / kWeightsFile);
  if (single && is_there(directory / kWeightsIndex))
    throw CheckpointError(cat(directory.string(), " holds both ", kWeightsFile, " and ",
                              kWeightsIndex, ", which may differ; remove one"));
  path_ = directory / (single ? kWeightsFile : kWeightsIndex);
  if (single) {
    files_.emplace_back(path_);
    for (const auto& [name, tensor] : files_[0].tensors()) tensors_[name] = &tensor;
  } else {
    open_shards(directory);
  }
  for (const SafetensorsFile& file : files_) check_->check_file(file);
}

WeightFiles::~WeightFiles() = default;

void WeightFiles::read(const std::string& name, const ByteSink& use) const {
  for (const SafetensorsFile& file : files_) {
    if (file.tensors().find(name) != file.tensors().end())
      return check_->read(file, name, /*must_be_finite=*/true, use);
  }
  throw std::logic_error(cat("no tensor ", quote_name(name)));
}

void WeightFiles::open_shards(const fs::path& directory) {
  const WeightMap map = read_index(path_);
  std::map<std::string, size_t> shards;
  for (const auto& entry : map) shards.emplace(entry.second, shards.size());
  for (const auto& shard : shards) {
    if (!is_there(directory / shard.first))
      throw CheckpointError(
          cat(path_.string(), ": ", shard.first, " is listed, but isn't there; download it, too"));
    files_.emplace_back(directory / shard.first);
    for (const auto& [name, tensor] : files_.back().tensors()) {
      const auto listed = map.find(name);
      if (listed == map.end() || listed->second != shard.first)
        throw CheckpointError(cat(
            path_.string(), ": tensor ", quote_name(name), " is in ", shard.first,
            listed == map.end() ? ", but isn't listed" : cat(", but is listed in ", listed->second),
            "; they are of different models: download all files again"));
      tensors_[name] = &tensor;
    }
  }
  for (const auto& [name, file] : map) {
    if (tensors_.count(name) == 0)
      throw CheckpointError(cat(path_.string(), ": tensor ", quote_name(name),
                                " is listed, but isn't in ", file,
                                "; they are of different models: download all files again"));
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
