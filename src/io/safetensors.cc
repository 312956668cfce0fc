#include "fathom/io/safetensors.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/internal/quote.h"
#include "safetensors_header.h"

namespace fathom {
namespace {

constexpr uint64_t kLengthBytes = 8;

MappedFile map_weights(const std::filesystem::path& path) {
  refuse_pickled_weights(path);
  std::error_code error;
  if (!std::filesystem::exists(path, error) && (!error || error.value() == ENOENT))
    throw CheckpointError(cat(path.string(), ": no such file"));
  try {
    return MappedFile(path);
  } catch (const DataError& pointer) {
    throw CheckpointError(pointer.what());
  }
}

/// Little endian, at any address.
uint64_t read_length(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) value |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  return value;
}

/// The header's JSON; nothing is allocated from a length that the file only claims.
std::string_view header_text(std::span<const std::byte> bytes, std::string_view file) {
  const auto refuse = [&](const std::string& reason) {
    throw CheckpointError(cat(file, ": ", reason));
  };
  if (bytes.size() < kLengthBytes)
    refuse(
        cat("has ", bytes.size(), " bytes; a safetensors file has at least 8: download it again"));
  const uint64_t length = read_length(bytes);
  if (length > kMaxHeaderBytes)
    refuse(cat("its header would have ", length, " bytes; at most ", kMaxHeaderBytes,
               " are allowed: it is no safetensors file, or damaged; download it again"));
  if (length > bytes.size() - kLengthBytes)
    refuse(cat("its header of ", length, " bytes doesn't fit in the file's ", bytes.size(),
               ": it was cut short; download it again"));
  const auto* text = reinterpret_cast<const char*>(bytes.data() + kLengthBytes);
  if (length == 0 || text[0] != '{')
    refuse("its header doesn't start with '{': it is no safetensors file, or damaged");
  return {text, length};
}

std::vector<TensorSpec> in_storage_order(std::vector<TensorSpec> tensors,
                                         const std::filesystem::path& path) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorSpec& a, const TensorSpec& b) {
    return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
  });
  std::vector<std::string_view> names;
  for (const TensorSpec& tensor : tensors) names.emplace_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    throw CheckpointError(cat(path.string(), ": tensor ", quote_name(*twice), ": appears twice"));
  if (std::binary_search(names.begin(), names.end(), "__metadata__"))
    throw CheckpointError(cat(path.string(), ": no tensor may be called '__metadata__'"));
  return tensors;
}

/// The command that makes safetensors of pickled weights: of a whole model directory of
/// transformers, which also resolves tensors that share memory, or of one file.
std::string conversion(const std::filesystem::path& path) {
  std::filesystem::path folder = path.parent_path().empty() ? "." : path.parent_path();
  std::error_code ignored;
  if (std::filesystem::exists(folder / "config.json", ignored))
    return cat(
        "python3 -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('",
        folder.string(), "', dtype='auto').save_pretrained('converted')\"");
  return cat(
      "python3 -c \"import torch, safetensors.torch as s; s.save_file({k: v.clone() for k, v in "
      "torch.load('",
      path.string(), "', weights_only=True, map_location='cpu').items()}, 'model.safetensors')\"");
}

}  // namespace

void refuse_pickled_weights(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  constexpr std::array kPickled{".bin", ".pt", ".pth", ".ckpt", ".pkl"};
  if (std::find(kPickled.begin(), kPickled.end(), extension) != kPickled.end())
    throw CheckpointError(cat(
        path.string(), ": ", extension,
        " files are pickled and can run code when they are opened; if you trust it, convert it: ",
        conversion(path)));
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(map_weights(path)) {
  const std::span<const std::byte> bytes = file_.bytes();
  const std::string name = path.string();
  const std::string_view text = header_text(bytes, name);
  header_bytes_ = kLengthBytes + text.size();
  const std::span<const std::byte> data = bytes.subspan(header_bytes_);
  SafetensorsHeader header = parse_safetensors_header(text, name, data.size());
  metadata_ = std::move(header.metadata);
  for (TensorEntry& entry : header.tensors) {
    tensors_.emplace(std::move(entry.spec.name),
                     Tensor{entry.spec.dtype, std::move(entry.spec.shape),
                            data.subspan(entry.begin, entry.end - entry.begin)});
  }
}

const SafetensorsFile::Tensor& SafetensorsFile::at(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, tensor] : tensors_) names.push_back(known);
  throw CheckpointError(
      cat(path().string(), ": has no tensor ", quote_name(name), did_you_mean(name, names)));
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     std::vector<TensorSpec> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : tensors_(in_storage_order(std::move(tensors), path)), file_(path) {
  std::map<std::string, std::string> all_metadata = metadata;
  all_metadata.emplace("format", "pt");  // transformers refuses files without it
  const std::string header = format_safetensors_header(tensors_, all_metadata, path.string());
  std::array<std::byte, kLengthBytes> length{};
  for (size_t i = 0; i < kLengthBytes; ++i)
    length[i] = static_cast<std::byte>(header.size() >> (8 * i));
  file_.write(length);
  file_.write(header);
  skip_complete_tensors();
}

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  if (current_ == tensors_.size() || tensors_[current_].name != name)
    throw std::logic_error(cat("tensor ", quote_name(name), " isn't the next one of order()"));
  if (bytes.size() > tensors_[current_].num_bytes() - bytes_of_current_)
    throw std::logic_error(cat("tensor ", quote_name(name), " got more bytes than it has"));
  file_.write(bytes);
  bytes_of_current_ += bytes.size();
  skip_complete_tensors();
}

void SafetensorsWriter::skip_complete_tensors() {
  while (current_ < tensors_.size() && tensors_[current_].num_bytes() == bytes_of_current_) {
    ++current_;
    bytes_of_current_ = 0;
  }
}

void SafetensorsWriter::publish() {
  if (current_ != tensors_.size())
    throw std::logic_error(cat("tensor ", quote_name(tensors_[current_].name), " isn't complete"));
  file_.publish();
}

}  // namespace fathom
