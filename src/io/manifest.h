// manifest.json of a checkpoint: what its files must be.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "fathom/base/stop.h"

namespace fathom {

constexpr std::string_view kManifestName = "manifest.json";

struct Manifest {
  struct File {
    uint64_t size = 0;
    std::string sha256;
  };
  int64_t step = 0;
  std::map<std::string, File> files;
};

/// True for the name of a file without any directory part.
bool is_bare_name(std::string_view name);

/// Size and hash of every file in `directory`. @throws DiskError, std::logic_error for anything but
/// regular files
Manifest describe_directory(const std::filesystem::path& directory, int64_t step);

/// JSON that ends in the SHA-256 of all before it.
std::string format_manifest(const Manifest& manifest);

/// @throws CheckpointError if it is missing, damaged or of a newer format
Manifest read_manifest(const std::filesystem::path& directory);

/// @throws CheckpointError naming the first file that isn't what the manifest says; Interrupted
void check_files(const std::filesystem::path& directory, const Manifest& manifest,
                 const StopFlag& stop);

}  // namespace fathom
