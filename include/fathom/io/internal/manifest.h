// manifest.json of a checkpoint: what its files must be.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "fathom/base/stop.h"

namespace fathom {

constexpr std::string_view kManifestName = "manifest.json";

struct Manifest {
  struct File {
    uint64_t size = 0;
    std::string sha256;
    /// Checksums of the parts of a file of weights: what comes before the tensors, and each tensor.
    /// Fathom 1.0 wrote none.
    std::string header = {};
    std::map<std::string, std::string, std::less<>> tensors = {};
  };
  int64_t step = 0;
  std::map<std::string, File> files;
};

/// True for the name of a file without any directory part.
bool is_bare_name(std::string_view name);

/// True for the path of a file below a directory: bare names with '/' between them.
bool is_inner_path(std::string_view path);

/// Size and hash of every file in `directory` and below. @throws DiskError, std::logic_error for
/// anything but regular files and folders
Manifest describe_directory(const std::filesystem::path& directory, int64_t step);

/// JSON that ends in the SHA-256 of all before it.
std::string format_manifest(const Manifest& manifest);

/// The manifest of a directory that has one; another program's manifest.json is none.
/// @throws CheckpointError if it is damaged or of a newer format
std::optional<Manifest> find_manifest(const std::filesystem::path& directory);

/// @throws CheckpointError if it is missing, damaged or of a newer format
Manifest read_manifest(const std::filesystem::path& directory);

/// @throws CheckpointError naming the file unless it is what the manifest says; Interrupted
void check_file(const std::filesystem::path& directory, const std::string& name,
                const Manifest::File& expected, const StopFlag& stop);

}  // namespace fathom
