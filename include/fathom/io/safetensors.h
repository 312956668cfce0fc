// safetensors: tensors as a JSON header and raw little-endian bytes. The only weight format that
// Fathom reads or writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/file.h"

namespace fathom {

/// Gets bytes in parts, in their order.
using ByteSink = std::function<void(std::span<const std::byte>)>;

/// Element types of the format, in the reference's order: it never gets narrower.
enum class TensorType {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kF64,
  kI64,
  kU64
};

/// "BF16".
std::string_view name_of(TensorType type);

/// Bytes of an element.
uint64_t size_of(TensorType type);

/// What a header says of a tensor.
struct TensorSpec {
  std::string name;
  TensorType dtype = TensorType::kF32;
  std::vector<int64_t> shape;  ///< empty for a scalar

  /// @throws CheckpointError for a shape outside the format's limits: at most 8 dimensions, each
  /// from 0 to 2^48 - 1, and 2^64 - 1 bytes in all
  uint64_t num_bytes() const;
};

/// @throws CheckpointError for names of pickled or TorchScript files (.bin .pt .pth .ckpt .pkl):
/// opening those can run code that they hold. Every function that takes a path to weights calls it.
void refuse_pickled_weights(const std::filesystem::path& path);

/// A safetensors file, mapped. Nothing in it is trusted: each field is checked before it is used.
class SafetensorsFile {
 public:
  /// A tensor of the file.
  struct Tensor {
    TensorType dtype = TensorType::kF32;
    std::vector<int64_t> shape;
    std::span<const std::byte> bytes;  ///< little endian, may be unaligned: copy, don't cast
  };

  /// @throws CheckpointError "file: tensor 'x': reason" for whatever breaks the format, and for a
  /// file that is missing or pickled; DiskError if it can't be read. Stricter than the reference:
  /// duplicate names, unknown fields and leading spaces are refused, too.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  /// The whole file, and what comes before its tensors.
  std::span<const std::byte> bytes() const { return file_.bytes(); }
  std::span<const std::byte> header() const { return file_.bytes().first(header_bytes_); }
  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }
  /// The strings under "__metadata__".
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// @throws CheckpointError that names the nearest tensor
  const Tensor& at(std::string_view name) const;

 private:
  MappedFile file_;
  size_t header_bytes_ = 0;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Writes a safetensors file; it appears under its name when it is complete and durable, or never.
class SafetensorsWriter {
 public:
  /// Creates the file and writes the header, with {"format": "pt"} in its metadata.
  /// @param tensors in any order; they are stored as the reference does, by type from the last of
  /// TensorType to the first, then by name: so all are aligned
  /// @throws CheckpointError for a duplicate name or a bad shape, DiskError
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors,
                    const std::map<std::string, std::string>& metadata = {});

  /// The order in which `write` wants the tensors.
  const std::vector<TensorSpec>& order() const { return tensors_; }
  /// Appends bytes of `name`, which must be the first tensor in `order()` that isn't complete. A
  /// tensor may come in parts. @throws std::logic_error for another name or too many bytes,
  /// DiskError
  void write(std::string_view name, std::span<const std::byte> bytes);
  /// Makes the file durable and gives it its name. @throws std::logic_error while bytes are
  /// missing, DiskError
  void publish();

 private:
  void skip_complete_tensors();

  std::vector<TensorSpec> tensors_;
  OutputFile file_;
  size_t current_ = 0;             // index in tensors_
  uint64_t bytes_of_current_ = 0;  // written so far
};

}  // namespace fathom
