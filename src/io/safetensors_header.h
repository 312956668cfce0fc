// The JSON header of a safetensors file: parsed event by event, so that memory stays bounded by
// what a valid header needs.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/io/safetensors.h"

namespace fathom {

/// A tensor and where its bytes are, counted from the end of the header.
struct TensorEntry {
  TensorSpec spec;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  ///< by begin
  std::map<std::string, std::string> metadata;
};

/// Bytes of JSON that a header may have, as in the reference.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxTensors = 100'000;

/// @param file names the file in messages
/// @param data_bytes what follows the header; the tensors must cover it without holes or overlaps
/// @throws CheckpointError
SafetensorsHeader parse_safetensors_header(std::string_view json, std::string_view file,
                                           uint64_t data_bytes);

/// The header's JSON, padded with spaces so that the data starts at a multiple of 8.
/// @throws CheckpointError when it would be too long
std::string format_safetensors_header(const std::vector<TensorSpec>& tensors,
                                      const std::map<std::string, std::string>& metadata,
                                      std::string_view file);

}  // namespace fathom
