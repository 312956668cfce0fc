#include "fathom/config/fields.h"

#include <algorithm>
#include <stdexcept>

#include "fathom/base/names.h"

namespace fathom {

void Fields::add(const std::string& name, FieldValue value, const std::string& doc, Limits limits) {
  fields_.push_back({prefix_ + name, value, limits, {}, doc, "", nullptr});
}

void Fields::one_of(const std::string& name, std::string& value, std::vector<std::string> allowed,
                    const std::string& doc) {
  fields_.push_back({prefix_ + name, &value, {}, std::move(allowed), doc, "", nullptr});
}

void Fields::choice(const std::string& name, std::string& value, const std::string& doc) {
  const auto rows = choices_->find(prefix_ + name);
  if (rows == choices_->end()) throw std::logic_error("no table was given for " + prefix_ + name);
  one_of(name, value, names_of(rows->second), doc);
}

void Fields::option_of(const std::string& chooser, const std::string& name, FieldValue value,
                       const std::string& doc, Limits limits, std::vector<std::string> allowed) {
  const std::string chooser_path = prefix_ + chooser;
  const std::string* chosen = std::get<std::string*>(declared(chooser_path).value);
  std::vector<std::string> with_option;
  for (const Choice& row : choices_->at(chooser_path)) {
    if (std::find(row.options.begin(), row.options.end(), name) != row.options.end())
      with_option.push_back(row.name);
  }
  const auto has_effect = [chosen, with_option] {
    return std::find(with_option.begin(), with_option.end(), *chosen) != with_option.end();
  };
  fields_.push_back({prefix_ + name, value, limits, std::move(allowed), doc,
                     cat(chooser_path, " is ", join(with_option, " or ")), has_effect});
}

void Fields::when(const std::string& condition, std::function<bool()> has_effect,
                  const std::string& name, FieldValue value, const std::string& doc,
                  Limits limits) {
  fields_.push_back({prefix_ + name, value, limits, {}, doc, condition, std::move(has_effect)});
}

void Fields::rivals(const std::string& one, const std::string& other) {
  declared(prefix_ + one).rival = prefix_ + other;
  declared(prefix_ + other).rival = prefix_ + one;
}

const Field* Fields::find(const std::string& path) const {
  const auto found = std::find_if(fields_.begin(), fields_.end(),
                                  [&](const Field& field) { return field.path == path; });
  return found == fields_.end() ? nullptr : &*found;
}

Field& Fields::declared(const std::string& path) {
  for (Field& field : fields_) {
    if (field.path == path) return field;
  }
  throw std::logic_error(path + " isn't declared yet");
}

}  // namespace fathom
