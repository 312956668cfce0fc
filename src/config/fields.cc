#include "fathom/config/fields.h"

#include <algorithm>
#include <regex>
#include <stdexcept>

#include "fathom/base/names.h"

namespace fathom {
namespace {

/// Whether a chooser's value is, or as a sequence contains, one of these names.
bool chooses_one_of(const std::string& value, bool sequence,
                    const std::vector<std::string>& names) {
  std::vector<SequencePart> parts = {{value, {}}};
  if (sequence) parts = parse_sequence(value);
  return std::any_of(parts.begin(), parts.end(), [&](const SequencePart& part) {
    return std::find(names.begin(), names.end(), part.name) != names.end();
  });
}

/// "probes[].name" of "probes.0.name".
std::string chooser_of(const std::string& path) {
  static const std::regex kIndex(R"(\.\d+\.)");
  return std::regex_replace(path, kIndex, "[].");
}

}  // namespace

std::vector<SequencePart> parse_sequence(const std::string& text) {
  const auto malformed = [&] {
    return std::invalid_argument(
        cat("'", text, "' isn't a name, nor a list such as 'post x3, pre x9'"));
  };
  if (text.find_first_of(", ") == std::string::npos) return {{text, std::nullopt}};
  static const std::regex kPart(R"(\s*([A-Za-z0-9_]+)\s+x([1-9][0-9]{0,5})\s*)");
  std::vector<SequencePart> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::smatch match;
    const std::string part = text.substr(begin, end - begin);
    if (!std::regex_match(part, match, kPart)) throw malformed();
    parts.push_back({match[1], std::stoll(match[2])});
    begin = end + 1;
  }
  return parts;
}

void Fields::add(const std::string& name, FieldValue value, const std::string& doc, Limits limits) {
  fields_.push_back({prefix_ + name, value, limits, {}, doc, "", nullptr});
}

void Fields::one_of(const std::string& name, std::string& value, std::vector<std::string> allowed,
                    const std::string& doc) {
  fields_.push_back({prefix_ + name, &value, {}, std::move(allowed), doc, "", nullptr});
}

void Fields::choice(const std::string& name, std::string& value, const std::string& doc,
                    bool sequence) {
  const auto rows = choices_->find(chooser_of(prefix_ + name));
  if (rows == choices_->end()) throw std::logic_error("no table was given for " + prefix_ + name);
  one_of(name, value, names_of(rows->second), doc);
  fields_.back().sequence = sequence;
}

void Fields::option_of(const std::vector<std::string>& choosers, const std::string& name,
                       FieldValue value, const std::string& doc, Limits limits,
                       std::vector<std::string> allowed) {
  std::vector<std::string> conditions;
  std::vector<std::function<bool()>> effects;
  for (const std::string& chooser : choosers) {
    const std::string path = prefix_ + chooser;
    const Field& field = declared(path);
    const std::string* chosen = std::get<std::string*>(field.value);
    std::vector<std::string> with_option;
    for (const Choice& row : choices_->at(chooser_of(path))) {
      if (std::find(row.options.begin(), row.options.end(), name) != row.options.end())
        with_option.push_back(row.name);
    }
    if (with_option.empty()) continue;
    conditions.push_back(cat(path, " is ", join(with_option, " or ")));
    effects.emplace_back([chosen, sequence = field.sequence, with_option] {
      return chooses_one_of(*chosen, sequence, with_option);
    });
  }
  const auto has_effect = [effects] {
    return std::any_of(effects.begin(), effects.end(), [](const auto& effect) { return effect(); });
  };
  fields_.push_back({prefix_ + name, value, limits, std::move(allowed), doc,
                     join(conditions, ", or "), has_effect});
}

void Fields::when(const std::string& condition, std::function<bool()> has_effect,
                  const std::string& name, FieldValue value, const std::string& doc,
                  Limits limits) {
  fields_.push_back({prefix_ + name, value, limits, {}, doc, condition, std::move(has_effect)});
}

void Fields::rivals(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    for (const std::string& other : names) {
      if (other != name) declared(prefix_ + name).rivals.push_back(prefix_ + other);
    }
  }
}

void Fields::alternative(const std::string& other, const std::string& name,
                         std::optional<double>* value, const std::string& doc, Limits limits) {
  Field& first = declared(prefix_ + other);
  Field second{prefix_ + name, value, limits, {}, doc, first.condition, first.has_effect};
  first.has_effect = [before = first.has_effect, value] {
    return !value->has_value() && (!before || before());
  };
  fields_.push_back(std::move(second));
  rivals({other, name});
}

const Field* Fields::find(const std::string& path) const {
  const auto found = std::find_if(fields_.begin(), fields_.end(),
                                  [&](const Field& field) { return field.path == path; });
  return found == fields_.end() ? nullptr : &*found;
}

const SectionList* Fields::find_list(const std::string& path) const {
  const auto found = std::find_if(lists_.begin(), lists_.end(),
                                  [&](const SectionList& list) { return list.path == path; });
  return found == lists_.end() ? nullptr : &*found;
}

Field& Fields::declared(const std::string& path) {
  for (Field& field : fields_) {
    if (field.path == path) return field;
  }
  throw std::logic_error(path + " isn't declared yet");
}

}  // namespace fathom
