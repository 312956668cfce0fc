#include "fathom/io/internal/manifest.h"

#include <algorithm>
#include <map>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/base/hash.h"
#include "fathom/base/internal/quote.h"
#include "fathom/base/json.h"
#include "fathom/io/safetensors.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "fathom checkpoint";
constexpr int64_t kVersion = 1;
constexpr uint64_t kMaxManifestBytes = 16 << 20;

/// The last lines of a manifest whose text before them is `body`.
std::string seal(std::string_view body) {
  return cat("  \"manifest_sha256\": \"", sha256(body), "\"\n}\n");
}

/// Checksums of the consecutive parts of a file of weights, from its bytes in their order.
class PartChecksums {
 public:
  explicit PartChecksums(const SafetensorsFile& file) {
    parts_.push_back({"", file.header().size(), {}});
    std::map<const std::byte*, std::string> by_place;
    for (const auto& [name, tensor] : file.tensors()) {
      if (tensor.bytes.empty())
        done_[name] = Checksum().hex_digest();
      else
        by_place[tensor.bytes.data()] = name;
    }
    for (const auto& [place, name] : by_place)
      parts_.push_back({name, file.at(name).bytes.size(), {}});
  }

  void update(std::span<const std::byte> bytes) {
    while (!bytes.empty() && current_ < parts_.size()) {
      Part& part = parts_[current_];
      const auto own = bytes.first(std::min<uint64_t>(bytes.size(), part.left));
      part.sum.update(own);
      part.left -= own.size();
      bytes = bytes.subspan(own.size());
      if (part.left == 0) ++current_;
    }
  }

  void finish(Manifest::File& file) {
    file.header = parts_[0].sum.hex_digest();
    for (size_t i = 1; i < parts_.size(); ++i) done_[parts_[i].name] = parts_[i].sum.hex_digest();
    file.tensors = std::move(done_);
  }

 private:
  struct Part {
    std::string name;
    uint64_t left;
    Checksum sum;
  };
  std::vector<Part> parts_;
  size_t current_ = 0;
  std::map<std::string, std::string, std::less<>> done_;
};

/// Nothing for what isn't a file of weights.
std::optional<PartChecksums> parts_of(const fs::path& path) {
  if (path.extension() != ".safetensors") return std::nullopt;
  try {
    return PartChecksums(SafetensorsFile(path));
  } catch (const CheckpointError&) {
    return std::nullopt;
  }
}

/// @param parts of the same file, or null
std::string hash_file(const fs::path& path, const StopFlag& stop, PartChecksums* parts = nullptr) {
  InputFile file(path);
  Sha256 hash;
  std::vector<std::byte> buffer(std::clamp<uint64_t>(file.size(), 1, 1 << 20));
  while (const size_t n = file.read(buffer)) {
    hash.update(std::span(buffer).first(n));
    if (parts != nullptr) parts->update(std::span(buffer).first(n));
    stop.check();
  }
  return hash.hex_digest();
}

/// A whole number of the manifest; the seal only says that we wrote it, not that it makes sense.
uint64_t whole_number(const Json& object, const char* key) {
  const Json& value = object.at(key);
  if (!value.is_number_unsigned()) throw std::invalid_argument(cat(key, " isn't a whole number"));
  return value.get<uint64_t>();
}

Manifest from_json(const Json& json) {
  Manifest manifest;
  manifest.step = static_cast<int64_t>(whole_number(json, "step"));
  for (const auto& [name, file] : json.at("files").items()) {
    if (!is_inner_path(name)) throw std::invalid_argument(cat("bad file name ", quote_name(name)));
    Manifest::File& entry = manifest.files[name];
    entry = {whole_number(file, "size"), file.at("sha256").get<std::string>()};
    if (!file.contains("xxh3")) continue;
    entry.header = file["xxh3"].at("header").get<std::string>();
    for (const auto& [tensor, sum] : file["xxh3"].at("tensors").items())
      entry.tensors[tensor] = sum.get<std::string>();
  }
  return manifest;
}

/// Which part of a file of weights isn't what was written; "" for others, and where none is.
std::string damaged_part(const fs::path& path, const Manifest::File& expected,
                         const StopFlag& stop) {
  std::optional<PartChecksums> parts;
  if (!expected.tensors.empty()) parts = parts_of(path);
  if (!parts) return "";
  hash_file(path, stop, &*parts);
  Manifest::File actual;
  parts->finish(actual);
  for (const auto& [name, sum] : expected.tensors) {
    const auto found = actual.tensors.find(name);
    if (found == actual.tensors.end() || found->second != sum)
      return cat("tensor ", quote_name(name), " ");
  }
  return "";
}

void check_content(const fs::path& path, const Manifest::File& expected, const StopFlag& stop) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) throw CheckpointError("is missing");
  const uint64_t size = fs::file_size(path, error);
  if (size != expected.size)
    throw CheckpointError(cat("has ", size, " bytes; the manifest says ", expected.size));
  if (hash_file(path, stop) != expected.sha256)
    throw CheckpointError(
        cat(damaged_part(path, expected, stop), "is damaged: its SHA-256 isn't the manifest's"));
}

}  // namespace

bool is_bare_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

bool is_inner_path(std::string_view path) {
  for (size_t slash = path.find('/'); slash != path.npos; slash = path.find('/')) {
    if (!is_bare_name(path.substr(0, slash))) return false;
    path.remove_prefix(slash + 1);
  }
  return is_bare_name(path);
}

Manifest describe_directory(const fs::path& directory, int64_t step) {
  Manifest manifest{step, {}};
  std::error_code error;
  fs::recursive_directory_iterator entry(directory, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    const fs::path& path = entry->path();
    if (entry->is_directory(error)) continue;
    if (!entry->is_regular_file(error) && !error)
      throw std::logic_error(path.string() + " isn't a regular file");
    const uint64_t size = error ? 0 : entry->file_size(error);
    if (error) break;
    Manifest::File& file = manifest.files[path.lexically_relative(directory).string()];
    file.size = size;
    std::optional<PartChecksums> parts = parts_of(path);
    file.sha256 = hash_file(path, StopFlag(), parts ? &*parts : nullptr);
    if (parts) parts->finish(file);
  }
  if (error) throw_disk_error("can't list", directory.string(), error.value());
  return manifest;
}

std::string format_manifest(const Manifest& manifest) {
  Json files = Json::object();
  for (const auto& [name, file] : manifest.files) {
    files[name] = {{"size", file.size}, {"sha256", file.sha256}};
    if (!file.header.empty())
      files[name]["xxh3"] = {{"header", file.header}, {"tensors", Json(file.tensors)}};
  }
  const Json json = {
      {"format", kFormat}, {"version", kVersion}, {"step", manifest.step}, {"files", files}};
  std::string body = json.dump(2);
  body.resize(body.size() - 2);  // without "\n}"
  body += ",\n";
  return body + seal(body);
}

std::optional<Manifest> find_manifest(const fs::path& directory) {
  const fs::path path = directory / kManifestName;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  const std::string text = read_text_file(path, kMaxManifestBytes);
  try {
    const Json json = parse_json(text, path.string());
    const bool is_ours = !json.is_object() || json.value("format", Json()) == kFormat ||
                         json.contains("manifest_sha256");
    if (!is_ours) return std::nullopt;
  } catch (const std::invalid_argument&) {
    // What is damaged may be ours: read_manifest says what is wrong.
  }
  return read_manifest(directory);
}

Manifest read_manifest(const fs::path& directory) {
  const fs::path path = directory / kManifestName;
  try {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) throw CheckpointError(cat(path.string(), ": is missing"));
    const std::string text = read_text_file(path, kMaxManifestBytes);
    const Json json = parse_json(text, path.string());
    if (!json.is_object())
      throw CheckpointError(cat(path.string(), ": isn't a manifest: it holds an ", json.type_name(),
                                ", not an object; copy the directory again"));
    if (whole_number(json, "version") > kVersion)  // its seal may be another, so look here first
      throw CheckpointError(cat(path.string(), ": has format version ", json.at("version").dump(),
                                ", which a newer Fathom wrote; this one reads up to ", kVersion));
    const size_t seal_bytes = seal("").size();
    const std::string_view body =
        std::string_view(text).substr(0, text.size() - std::min(seal_bytes, text.size()));
    if (text.substr(body.size()) != seal(body))
      throw CheckpointError(cat(path.string(), ": is damaged: its own SHA-256 doesn't match"));
    return from_json(json);
  } catch (const std::invalid_argument& error) {
    throw CheckpointError(cat(path.string(), ": is damaged: ", error.what()));
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError(cat(path.string(), ": isn't a manifest: ", json_reason(error)));
  } catch (const DiskError& error) {
    throw CheckpointError(error.what());
  }
}

void check_file(const fs::path& directory, const std::string& name, const Manifest::File& expected,
                const StopFlag& stop) {
  try {
    check_content(directory / name, expected, stop);
  } catch (const CheckpointError& error) {
    throw CheckpointError(cat((directory / name).string(), ": ", error.what()));
  } catch (const DiskError& error) {
    throw CheckpointError(error.what());
  }
}

}  // namespace fathom
