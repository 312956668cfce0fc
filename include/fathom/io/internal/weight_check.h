// What is read of a directory's weights is checked while it is read: against the checksums of
// manifest.json, where one lies there, and for numbers that aren't finite.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "fathom/io/internal/manifest.h"
#include "fathom/io/safetensors.h"

namespace fathom {

class WeightCheck {
 public:
  /// @throws CheckpointError if the directory's manifest is damaged
  explicit WeightCheck(const std::filesystem::path& directory);

  /// Checks a file's size and header, and all of it where the manifest has no checksums of tensors
  /// (Fathom 1.0 wrote none). @throws CheckpointError naming the file
  void check_file(const SafetensorsFile& file) const;

  /// Hands on a tensor's bytes, in parts that a cache holds. What was handed on is only good once
  /// this has returned.
  /// @throws CheckpointError naming file and tensor, for other bytes than were written and, if
  /// `must_be_finite`, for the first number that isn't in float32
  void read(const SafetensorsFile& file, std::string_view name, bool must_be_finite,
            const std::function<void(std::span<const std::byte>)>& use) const;

 private:
  const Manifest::File* listed(const SafetensorsFile& file) const;

  std::optional<Manifest> manifest_;
};

}  // namespace fathom
