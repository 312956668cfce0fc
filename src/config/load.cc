#include "fathom/config/load.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <stdexcept>

#include "config/advice.h"
#include "config/source.h"
#include "config/tree_builder.h"
#include "config/value.h"
#include "fathom/base/error.h"
#include "fathom/base/names.h"
#include "fathom/config/describe.h"
#include "fathom/config/errors.h"

namespace fathom {
namespace {

constexpr const char* kCommandLine = "command line";
constexpr const char* kDefault = "default";

/// "model.norm" of "model.norm.placement"; "" of a top-level name.
std::string section_of(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

/// Whether a text has this name, as a word of its own.
bool mentions(const std::string& text, const std::string& name) {
  const auto is_in_name = [&](size_t at) {
    return at < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[at])) != 0 || text[at] == '_');
  };
  for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    if (!(at > 0 && is_in_name(at - 1)) && !is_in_name(at + name.size())) return true;
  }
  return false;
}

/// A config in the making.
class Loader {
 public:
  explicit Loader(const Choices& choices)
      : choices_(choices), fields_(choices), default_fields_(choices) {
    declare();
  }

  void apply(const Source& source) {
    ++layer_;
    errors_.insert(errors_.end(), source.duplicates.begin(), source.duplicates.end());
    if (source.root.kind == Node::Kind::kMap) return apply_section(source.label, "", source.root);
    errors_.push_back(cat(source.label, ": a config holds keys and sections (", join(names_in("")),
                          "), but this file ",
                          source.root.kind == Node::Kind::kNull ? "is empty" : "does not"));
  }

  void apply(const std::vector<Override>& overrides) {
    ++layer_;
    for (const Override& override : overrides) {
      collect([&] {
        check_text(override.path + override.value, kCommandLine);
        if (fields_.find_list(override.path) != nullptr) return apply_list(override);
        const Field* field = fields_.find(override.path);
        if (field == nullptr) reject_unknown(kCommandLine, override.path);
        set(
            *field, [&] { return typed_value(*field, override.value, kCommandLine); },
            kCommandLine);
      });
    }
  }

  bool has_errors() const { return !errors_.empty(); }
  const std::string& init_from() const { return config_.train.init_from; }

  /// Makes a model's values the defaults of model.*. Call it before anything is applied.
  void start_from(const StartingModel& start, const std::string& label) {
    start_ = start;
    config_.model = start.model;
    config_.data.tokenizer = start.tokenizer;
    config_.data.add_bos = start.adds_bos;
    for (const Field& field : fields_.all()) {
      if (field.path.starts_with("model.") || field.path == "data.tokenizer" ||
          field.path == "data.add_bos")
        settings_[field.path] = {label, layer_};
    }
  }

  /// Finds keys that make the model another than `start_from` was given.
  void check_start(const std::string& directory) {
    RunConfig start;
    Fields start_fields(choices_);
    start.model = start_.model;
    start.declare(start_fields);
    for (const Field& field : fields_.all()) {
      if (!field.path.starts_with("model.") || field.path.starts_with("model.rope_") ||
          field.path == "model.max_position_embeddings")
        continue;
      const std::string theirs = yaml_value(*start_fields.find(field.path));
      if (yaml_value(field) == theirs) continue;
      errors_.push_back(cat(origin(field.path), ": ", field.path, " is ", yaml_value(field),
                            ", but the model of train.init_from (", directory, ") has ",
                            theirs.empty() ? "its default" : theirs,
                            "; leave the key (or the preset) out"));
    }
  }

  /// Keys that the newest layer sets to no effect.
  std::set<std::string> ineffective() const {
    std::set<std::string> paths;
    for (const Field& field : fields_.all()) {
      const auto setting = settings_.find(field.path);
      const bool newest = setting != settings_.end() && setting->second.layer == layer_;
      if (newest && field.has_effect && !field.has_effect()) paths.insert(field.path);
    }
    return paths;
  }

  /// Finds those of `paths` that have no effect in the end either.
  void check_effect(const std::set<std::string>& paths) {
    for (const Field& field : fields_.all()) {
      if (!paths.contains(field.path) || field.has_effect()) continue;
      if (doubtful_.contains(field.path) || is_doubtful(field.condition)) continue;
      errors_.push_back(cat(origin(field.path), ": ", field.path, " is ", yaml_value(field),
                            ", but has no effect: it counts where ", field.condition,
                            current_value(field.condition), "; remove it, or change that"));
    }
  }

  /// Gives keys without effect their defaults, so that the config equals the one that its dump
  /// describes. @throws ConfigError for all that is wrong, also where keys contradict each other
  LoadedConfig finish(const std::string& label) {
    std::map<std::string, std::string> origins;
    for (const Field& field : fields_.all()) {
      if (field.has_effect && !field.has_effect()) {
        reset(field);
        settings_.erase(field.path);
      }
      origins[field.path] = origin(field.path);
    }
    for (const SectionList& list : fields_.lists()) origins[list.path] = origin(list.path);
    const bool is_complete = !has_errors();  // else a key that isn't set may be a misspelt one
    for (const std::string& broken : config_.inconsistencies()) {
      const std::string at = origin(broken.substr(0, broken.find_first_of(" ,")));
      if (at == kDefault ? is_complete : !is_doubtful(broken))
        errors_.push_back(cat(at == kDefault ? label : at, ": ", broken));
    }
    if (has_errors()) throw ConfigErrors(errors_);
    return {config_, origins};
  }

 private:
  struct Setting {
    std::string origin;
    int layer;
  };

  /// Declares the keys of the config as it is now, and of one with lists as long and defaults.
  void declare() {
    fields_ = Fields(choices_);
    config_.declare(fields_);
    default_fields_ = Fields(choices_);
    defaults_.declare(default_fields_);
    sections_.clear();
    for (const Field& field : fields_.all()) {
      for (std::string section = section_of(field.path); !section.empty();
           section = section_of(section))
        sections_.insert(section);
    }
  }

  /// Gives a field its default.
  void reset(const Field& field) { copy_value(*default_fields_.find(field.path), field); }

  /// A list takes the place of one that an earlier layer set.
  void apply_list(const std::string& label, const SectionList& list_in, const Node& value) {
    const SectionList list = list_in;  // declaring anew forgets it
    const std::string where = value.line > 0 ? cat(label, ":", value.line) : label;
    if (value.kind != Node::Kind::kList)
      throw ConfigError(cat(where, ": ", list.path,
                            " is a list of sections; write each after '- ', "
                            "or [] for none"));
    list.resize(0);  // what an earlier layer says of a section doesn't stay
    list.resize(value.items.size());
    default_fields_.find_list(list.path)->resize(value.items.size());
    std::erase_if(settings_,
                  [&](const auto& entry) { return entry.first.starts_with(list.path + "."); });
    settings_[list.path] = {where, layer_};
    declare();
    for (size_t i = 0; i < value.items.size(); ++i) {
      const std::string path = cat(list.path, ".", i);
      const Node& item = value.items[i];
      if (item.kind != Node::Kind::kMap)
        throw ConfigError(cat(label, ":", item.line, ": ", path,
                              " is not a section; write its keys (", join(names_in(path)), ")"));
      apply_section(label, path + ".", item);
    }
  }

  void apply_list(const Override& override) {
    apply_list(kCommandLine, *fields_.find_list(override.path),
               parse_json_tree(override.value, kCommandLine));
  }

  /// Does a part of the work; what it throws is kept, so that all mistakes are found at once.
  template <typename Work>
  void collect(const Work& work) {
    try {
      work();
    } catch (const ConfigError& error) {
      errors_.emplace_back(error.what());
    }
  }

  /// Whether a rule is about a key that couldn't be read: it may be broken for that alone.
  bool is_doubtful(const std::string& rule) const {
    return std::any_of(doubtful_.begin(), doubtful_.end(), [&](const std::string& path) {
      return mentions(rule, path.substr(path.rfind('.') + 1));
    });
  }

  void apply_section(const std::string& label, const std::string& prefix, const Node& section) {
    for (const auto& [name, value] : section.entries)
      collect([&] { apply_entry(label, prefix, name, value); });
  }

  void apply_entry(const std::string& label, const std::string& prefix, const std::string& name,
                   const Node& value) {
    const std::string path = prefix + name;
    if (const SectionList* list = fields_.find_list(path)) return apply_list(label, *list, value);
    const std::string where = cat(label, ":", value.line);
    const Field* field = name.find('.') == std::string::npos ? fields_.find(path) : nullptr;
    if (field != nullptr) {
      set(
          *field, [&] { return value; }, where);
    } else if (!sections_.contains(path)) {
      reject_unknown(where, path);
    } else if (value.kind != Node::Kind::kMap) {
      throw ConfigError(cat(where, ": ", path, " is not a value but a section; write its keys (",
                            join(names_in(path)), ") below it, indented"));
    } else {
      apply_section(label, path + ".", value);
    }
  }

  /// @param value gives the node
  template <typename Value>
  void set(const Field& field, const Value& value, const std::string& where) {
    doubtful_.insert(field.path);
    assign(field, value(), where);
    doubtful_.erase(field.path);
    settings_[field.path] = {where, layer_};
    for (const std::string& path : field.rivals) replace_rival(field, path);
  }

  /// Forgets what an earlier layer says of a rival of `field`.
  void replace_rival(const Field& field, const std::string& path) {
    const auto rival = settings_.find(path);
    if (rival == settings_.end()) return;
    if (rival->second.layer == layer_) {
      const bool in_order = fields_.find(path) < &field;
      const std::string first = in_order ? path : field.path;
      doubtful_.insert({path, field.path});
      throw ConfigError(cat(origin(first), ": ", first, " and ", in_order ? field.path : path,
                            " are both set; drop one"));
    }
    reset(*fields_.find(path));
    settings_.erase(rival);
  }

  /// The keys and sections right in a section; "" is the root.
  std::vector<std::string> names_in(const std::string& section) const {
    std::vector<std::string> names;
    for (const Field& field : fields_.all()) {
      std::string path = field.path;
      while (!path.empty() && section_of(path) != section) path = section_of(path);
      if (path.empty()) continue;
      const std::string name = path.substr(section.empty() ? 0 : section.size() + 1);
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    for (const SectionList& list : fields_.lists()) {
      const std::string name = list.path.substr(list.path.rfind('.') + 1);
      const bool listed = std::find(names.begin(), names.end(), name) != names.end();
      if (section_of(list.path) == section && !listed) names.push_back(name);
    }
    return names;
  }

  [[noreturn]] void reject_unknown(const std::string& where, const std::string& path) {
    std::string hint;
    if (path == "extends") {
      hint = "; it belongs in a file";
    } else if (sections_.contains(path)) {
      hint = cat("; it is a section: set ", path, ".", names_in(path).front(), " and the like");
    } else if (fields_.find(path) != nullptr) {
      hint = "; in a file, write a section for each dot";
    } else {
      const KeyAdvice advice = advice_for(path, fields_);
      if (fields_.find(advice.path) != nullptr) doubtful_.insert(advice.path);
      hint = advice.text();
    }
    const std::string section = sections_.contains(section_of(path)) ? section_of(path) : "";
    if (hint.empty())
      hint =
          cat("; allowed", section.empty() ? "" : " in " + section, ": ", join(names_in(section)));
    throw ConfigError(cat(where, ": unknown key '", path, "'", hint));
  }

  std::string origin(const std::string& path) const {
    const auto setting = settings_.find(path);
    return setting == settings_.end() ? kDefault : setting->second.origin;
  }

  /// " (it is pre)" for "model.norm.placement is lns".
  std::string current_value(const std::string& condition) const {
    const Field* chooser = fields_.find(condition.substr(0, condition.find(' ')));
    return chooser == nullptr ? "" : cat(" (it is ", yaml_value(*chooser), ")");
  }

  const Choices& choices_;
  RunConfig config_;
  StartingModel start_;
  Fields fields_;
  RunConfig defaults_;
  Fields default_fields_;
  std::set<std::string> sections_;
  std::map<std::string, Setting> settings_;
  std::vector<std::string> errors_;
  std::set<std::string> doubtful_;  // keys that were meant to be set and aren't
  int layer_ = 0;
};

/// train.init_from, which decides what the other keys start from.
std::string init_from_of(const std::vector<Source>& sources, const std::vector<Override>& overrides,
                         const Choices& choices) {
  Loader loader(choices);
  for (const Source& source : sources) loader.apply(source);
  loader.apply(overrides);
  return loader.has_errors() ? "" : loader.init_from();
}

}  // namespace

LoadedConfig load_run_config(const std::string& name_or_path,
                             const std::vector<Override>& overrides, const Choices& choices,
                             const ReadStartingModel& read_model) {
  const std::vector<Source> sources = read_sources(name_or_path);
  const std::string init_from = read_model ? init_from_of(sources, overrides, choices) : "";
  Loader loader(choices);
  if (!init_from.empty()) loader.start_from(read_model(init_from), init_from);
  for (const Source& source : sources) loader.apply(source);
  // A key of the file itself may have no effect because of the command line, and the other way
  // round; one that has none either way is a mistake. Files that are extended may set what others
  // replace.
  std::set<std::string> suspects = loader.ineffective();
  loader.apply(overrides);
  suspects.merge(loader.ineffective());
  loader.check_effect(suspects);
  if (!init_from.empty()) loader.check_start(init_from);
  return loader.finish(sources.back().label);
}

void apply_overrides(const Fields& fields, const std::vector<Override>& overrides) {
  for (const Override& override : overrides) {
    check_text(override.path + override.value, kCommandLine);
    const Field* field = fields.find(override.path);
    if (field == nullptr)
      throw ConfigError(cat(kCommandLine, ": unknown key '", override.path, "'",
                            advice_for(override.path, fields).text()));
    assign(*field, typed_value(*field, override.value, kCommandLine), kCommandLine);
  }
  for (const Override& override : overrides) {
    const Field& field = *fields.find(override.path);
    if (field.has_effect && !field.has_effect())
      throw ConfigError(cat(kCommandLine, ": ", override.path, " is ", override.value,
                            ", but has no effect: it counts where ", field.condition));
  }
}

void apply_values(const Fields& fields, const std::map<std::string, std::string>& values) {
  for (const auto& [path, value] : values) {
    const Field* field = fields.find(path);
    if (field != nullptr)
      assign(*field, parse_yaml_tree("value: " + value, path).entries.at(0).value, path);
  }
}

}  // namespace fathom
