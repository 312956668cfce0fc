#include "fathom/hugging_face/internal/tensor_files.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "fathom/base/error.h"
#include "fathom/io/internal/weight_check.h"

namespace fathom {
namespace {

struct TypePair {
  TensorType file;
  torch::ScalarType tensor;
};

constexpr std::array kTypes = {
    TypePair{TensorType::kF32, torch::kFloat32}, TypePair{TensorType::kBF16, torch::kBFloat16},
    TypePair{TensorType::kF16, torch::kFloat16}, TypePair{TensorType::kF64, torch::kFloat64},
    TypePair{TensorType::kI64, torch::kInt64},
};

}  // namespace

TensorType file_type(torch::ScalarType type) {
  for (const TypePair& pair : kTypes) {
    if (pair.tensor == type) return pair.file;
  }
  throw std::logic_error(cat("no safetensors type for ", type));
}

std::optional<torch::ScalarType> tensor_type(TensorType type) {
  for (const TypePair& pair : kTypes) {
    if (pair.file == type) return pair.tensor;
  }
  return std::nullopt;
}

void write_tensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, file_type(tensor.scalar_type()), tensor.sizes().vec()});
  SafetensorsWriter writer(path, specs);
  const std::vector<TensorSpec> order = writer.order();
  for (const TensorSpec& spec : order) {
    const torch::Tensor host = tensors.at(spec.name).to(torch::kCPU).contiguous();
    writer.write(spec.name, {static_cast<const std::byte*>(host.data_ptr()), host.nbytes()});
  }
  writer.publish();
}

torch::Tensor to_tensor(const SafetensorsFile::Tensor& stored, const std::string& name,
                        const std::filesystem::path& path,
                        const std::function<void(const ByteSink&)>& read) {
  const std::optional<torch::ScalarType> type = tensor_type(stored.dtype);
  if (!type)
    throw CheckpointError(cat(path.string(), ": tensor '", name, "' has type ",
                              name_of(stored.dtype), "; allowed: F32, BF16, F16 or F64"));
  torch::Tensor tensor = torch::empty(stored.shape, *type);
  auto* to = static_cast<std::byte*>(tensor.data_ptr());
  read([&to](std::span<const std::byte> bytes) {
    std::memcpy(to, bytes.data(), bytes.size());
    to += bytes.size();
  });
  return tensor;
}

namespace {

bool only_unknown(const StoredTensors& stored, const NamedTensors& expected) {
  return std::all_of(expected.begin(), expected.end(), [&](const auto& entry) {
    const auto found = stored.find(entry.first);
    return found != stored.end() &&
           torch::IntArrayRef(found->second->shape) == entry.second.sizes();
  });
}

}  // namespace

void require_same_tensors(const StoredTensors& stored_tensors, const NamedTensors& expected,
                          const std::filesystem::path& path) {
  std::vector<std::string> problems;
  for (const auto& [name, tensor] : expected) {
    const auto stored = stored_tensors.find(name);
    if (stored == stored_tensors.end()) {
      problems.push_back(cat("'", name, "' is missing"));
    } else if (torch::IntArrayRef(stored->second->shape) != tensor.sizes()) {
      problems.push_back(cat("'", name, "' is ", torch::IntArrayRef(stored->second->shape),
                             ", the config says ", tensor.sizes()));
    }
  }
  for (const auto& entry : stored_tensors) {
    if (expected.count(entry.first) == 0) problems.push_back(cat("'", entry.first, "' is unknown"));
  }
  if (problems.empty()) return;
  const char* fix = only_unknown(stored_tensors, expected)
                        ? "; transformers leaves tensors out that a model doesn't use: "
                          "from_pretrained(DIR).save_pretrained(DIR2) there, and name DIR2"
                        : "; take config.json and weights from one model, and complete";
  const size_t shown = std::min<size_t>(problems.size(), 5);
  const std::string rest =
      problems.size() > shown ? cat(", and ", problems.size() - shown, " more") : "";
  problems.resize(shown);
  throw CheckpointError(cat(path.string(), " doesn't fit its config: ", join(problems), rest, fix));
}

void read_tensors(const std::filesystem::path& path, NamedTensors& into,
                  const std::function<bool(const std::string&)>& must_be_finite) {
  const torch::NoGradGuard no_grad;
  const WeightCheck check(path.parent_path());
  const SafetensorsFile file(path);
  check.check_file(file);
  StoredTensors stored;
  for (const auto& [name, tensor] : file.tensors()) stored[name] = &tensor;
  require_same_tensors(stored, into, path);
  for (auto& entry : into) {
    const std::string& name = entry.first;
    const auto read = [&](const ByteSink& sink) {
      check.read(file, name, must_be_finite(name), sink);
    };
    entry.second.copy_(to_tensor(*stored.at(name), name, path, read));
  }
}

}  // namespace fathom
