#include "config/advice.h"

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/config/describe.h"

namespace fathom {
namespace {

std::string last_part(const std::string& path) { return path.substr(path.rfind('.') + 1); }

std::string section_of(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

/// Keys and sections, and where they are.
struct Names {
  explicit Names(const Fields& fields) {
    for (const Field& field : fields.all()) {
      keys.push_back(field.path);
      for (std::string path = section_of(field.path); !path.empty(); path = section_of(path)) {
        if (std::find(sections.begin(), sections.end(), path) == sections.end())
          sections.push_back(path);
      }
    }
  }

  bool has_key(const std::string& path) const {
    return std::find(keys.begin(), keys.end(), path) != keys.end();
  }

  /// Last parts of the keys and sections right in a section.
  std::vector<std::string> in(const std::string& section) const {
    std::vector<std::string> names;
    for (const auto* list : {&keys, &sections}) {
      for (const std::string& path : *list) {
        if (section_of(path) == section) names.push_back(last_part(path));
      }
    }
    return names;
  }

  std::vector<std::string> keys;
  std::vector<std::string> sections;
};

std::string joined(const std::string& section, const std::string& name) {
  return section.empty() ? name : section + "." + name;
}

/// A key of this name anywhere, whatever the section.
KeyAdvice same_name_elsewhere(const std::string& name, const Names& names) {
  std::vector<std::string> found;
  for (const std::string& key : names.keys) {
    if (last_part(key) == name) found.push_back(key);
  }
  if (found.empty()) return {};
  if (found.size() == 1) return {found[0], ""};
  const std::string last = found.back();
  found.pop_back();
  return {"", cat("did you mean '", join(found, "', '"), "' or '", last, "'?")};
}

KeyAdvice of_another_trainer(const std::string& name, const Names& names) {
  for (const OtherName& row : other_names()) {
    const std::string ours(row.ours);
    if (row.name == name && (ours.empty() || names.has_key(ours)))
      return {ours, std::string(row.note)};
  }
  return {};
}

bool is_empty(const KeyAdvice& advice) { return advice.path.empty() && advice.note.empty(); }

/// A name that differs by a few letters, in the section or, if it is long, in any.
KeyAdvice near_name(const std::string& section, const std::string& name, const Names& names) {
  std::vector<std::string> near = names.in(section);
  if (section.empty()) near.emplace_back("extends");
  const std::string nearest = nearest_name(name, near);
  if (!nearest.empty()) return {joined(section, nearest), ""};
  constexpr size_t kLong = 6;
  for (const std::string& key : names.keys) {
    if (name.size() >= kLong && !nearest_name(name, {last_part(key)}).empty()) return {key, ""};
  }
  return {};
}

}  // namespace

std::string KeyAdvice::text() const {
  if (path.empty()) return note.empty() ? "" : "; " + note;
  return cat("; did you mean '", path, "'?", note.empty() ? "" : cat(" (", note, ")"));
}

KeyAdvice advice_for(const std::string& path, const Fields& fields) {
  const Names names(fields);
  const std::string lower = folded_name(path);
  const std::string name = last_part(lower);
  if (names.has_key(lower)) return {lower, ""};
  std::string section = section_of(lower);
  const bool known_section = section.empty() || !names.in(section).empty();
  if (!known_section) section = nearest_name(section, names.sections);
  if (!known_section && names.has_key(joined(section, name))) return {joined(section, name), ""};
  if (KeyAdvice advice = of_another_trainer(name, names); !is_empty(advice)) return advice;
  if (KeyAdvice advice = same_name_elsewhere(name, names); !is_empty(advice)) return advice;
  return near_name(section, name, names);
}

}  // namespace fathom
