#include "config/source.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/config/load.h"
#include "fathom/config/presets.h"

namespace fathom {
namespace {

constexpr uint64_t kMaxBytes = 1 << 20;
constexpr size_t kMaxFiles = 64;

/// A config's text and what to call it.
struct Text {
  std::string label;
  std::string identity;             ///< the same for the same file
  std::filesystem::path directory;  ///< of a file; what it extends is looked for there
  bool json = false;
  bool preset = false;
  std::string text;
};

const Preset* find_preset(const std::string& name, bool by_file_too) {
  const auto& all = presets();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Preset& preset) {
    return preset.name == name || (by_file_too && preset.file == name);
  });
  return found == all.end() ? nullptr : &*found;
}

Text text_of(const Preset& preset) {
  const std::string label = cat("preset ", preset.name);
  return {label, label, {}, false, true, preset.text};
}

/// What a file that isn't there may have meant.
std::string preset_hint(const std::filesystem::path& path) {
  if (const Preset* preset = find_preset(path.filename().string(), true))
    return cat("; did you mean the preset '", preset->name, "'?");
  return did_you_mean(path.stem().string(), preset_names());
}

Text read_file(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  if (extension != ".yaml" && extension != ".yml" && extension != ".json")
    throw ConfigError(cat(path.string(), ": neither a preset (", join(preset_names()),
                          ") nor a file that ends in .yaml, .yml or .json", preset_hint(path)));
  std::error_code ignored;
  const std::filesystem::path real = std::filesystem::weakly_canonical(path, ignored);
  try {
    return {path.string(),        real.string(), path.parent_path(),
            extension == ".json", false,         read_text_file(path, kMaxBytes)};
  } catch (const DiskError& error) {
    throw ConfigError(cat(error.what(), preset_hint(path)));
  }
}

/// Reads a config and those it extends, depth first.
class SourceReader {
 public:
  void read(const Text& text) {
    check_cycle(text);
    if (++num_files_ > kMaxFiles)
      throw ConfigError(cat(text.label, ": more than ", kMaxFiles, " files are extended"));
    chain_.push_back({text.identity, text.label});
    std::vector<std::string> duplicates;
    Node root = text.json ? parse_json_tree_with_duplicates(text.text, text.label, duplicates)
                          : parse_yaml_tree_with_duplicates(text.text, text.label, duplicates);
    for (const Node& name : take_extends(root, text.label)) read(resolve(name, text));
    sources_.push_back({text.label, std::move(root), std::move(duplicates)});
    chain_.pop_back();
  }
  std::vector<Source> take() { return std::move(sources_); }

 private:
  struct Link {
    std::string identity;
    std::string label;
  };

  void check_cycle(const Text& text) const {
    const auto same = std::find_if(chain_.begin(), chain_.end(), [&](const Link& link) {
      return link.identity == text.identity;
    });
    if (same == chain_.end()) return;
    std::vector<std::string> labels;
    for (auto link = same; link != chain_.end(); ++link) labels.push_back(link->label);
    labels.push_back(text.label);
    throw ConfigError(cat(chain_.back().label, ": extends is a cycle: ", join(labels, " -> ")));
  }

  /// Removes `extends` from the root. @returns its names
  static std::vector<Node> take_extends(Node& root, const std::string& label) {
    auto& entries = root.entries;
    const auto entry = std::find_if(entries.begin(), entries.end(),
                                    [](const Entry& row) { return row.key == "extends"; });
    if (entry == entries.end()) return {};
    const Node value = entry->value;
    entries.erase(entry);
    std::vector<Node> names = value.kind == Node::Kind::kList ? value.items : std::vector{value};
    for (const Node& name : names) {
      if (name.text.empty())
        throw ConfigError(cat(label, ":", name.line,
                              ": extends holds something else than names; allowed: a file beside "
                              "this one, a preset's name, or a list of them"));
    }
    return names;
  }

  /// The file beside `from`, or the preset, that a name means.
  static Text resolve(const Node& name, const Text& from) {
    const Preset* preset = find_preset(name.text, from.preset);
    if (preset != nullptr) return text_of(*preset);
    try {
      return read_file(from.directory / name.text);
    } catch (const ConfigError& error) {
      throw ConfigError(cat(from.label, ":", name.line, ": extends: ", error.what()));
    }
  }

  std::vector<Link> chain_;
  std::vector<Source> sources_;
  size_t num_files_ = 0;
};

}  // namespace

std::vector<Source> read_sources(const std::string& name_or_path) {
  const Preset* preset = find_preset(name_or_path, false);
  SourceReader reader;
  reader.read(preset != nullptr ? text_of(*preset) : read_file(name_or_path));
  return reader.take();
}

}  // namespace fathom
