#include "fields_json.h"

#include <algorithm>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/internal/quote.h"

namespace fathom {
namespace {

template <typename T>
struct ElementOf {
  using type = T;
};
template <typename T>
struct ElementOf<std::optional<T>> {
  using type = T;
};

/// Where `path` ("norm.exponent") is in nested objects; null where it isn't.
const Json* find(const Json& json, std::string_view path) {
  const size_t dot = path.find('.');
  if (!json.is_object()) return nullptr;
  const auto entry = json.find(std::string(path.substr(0, dot)));
  if (entry == json.end()) return nullptr;
  return dot == std::string_view::npos ? &*entry : find(*entry, path.substr(dot + 1));
}

Json& make(Json& json, std::string_view path) {
  const size_t dot = path.find('.');
  Json& entry = json[std::string(path.substr(0, dot))];
  return dot == std::string_view::npos ? entry : make(entry, path.substr(dot + 1));
}

/// Refuses what no field declares. Sections are objects, keys are leaves.
void check_known(const Json& json, const std::string& path, const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), path) != known.end()) return;
  const bool section = json.is_object() && std::any_of(known.begin(), known.end(), [&](auto& name) {
                         return name.rfind(path + ".", 0) == 0;
                       });
  if (!section)
    throw std::invalid_argument(cat("unknown key ", quote_name(path), did_you_mean(path, known)));
  for (const auto& [key, value] : json.items()) check_known(value, cat(path, ".", key), known);
}

}  // namespace

Json fields_to_json(const Fields& fields, std::string_view section) {
  Json json = Json::object();
  for (const Field& field : fields.all()) {
    const std::string_view path = std::string_view(field.path).substr(section.size() + 1);
    std::visit(
        [&](const auto* value) {
          using Value = std::remove_const_t<std::remove_pointer_t<decltype(value)>>;
          using Element = typename ElementOf<Value>::type;
          if constexpr (std::is_same_v<Value, Element>) {
            make(json, path) = *value;
          } else if (value->has_value()) {
            make(json, path) = **value;
          }
        },
        field.value);
  }
  return json;
}

void fields_from_json(const Json& json, const Fields& fields, std::string_view section) {
  std::vector<std::string> known;
  for (const Field& field : fields.all()) known.push_back(field.path);
  check_known(json, std::string(section), known);
  for (const Field& field : fields.all()) {
    const Json* value = find(json, std::string_view(field.path).substr(section.size() + 1));
    if (value == nullptr) continue;
    try {
      assign_json(field, *value);
    } catch (const ConfigError& error) {
      throw std::invalid_argument(error.what());
    }
  }
}

}  // namespace fathom
