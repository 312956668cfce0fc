// Declared config keys as nested JSON, and back.
#pragma once

#include <string>
#include <string_view>

#include "fathom/base/json.h"
#include "fathom/config/fields.h"

namespace fathom {

/// The keys under `section` ("model"), all of them but unset optionals.
Json fields_to_json(const Fields& fields, std::string_view section);

/// Sets the keys under `section` from `json`; a key that isn't there keeps its value.
/// @throws std::invalid_argument "model.norm.exponent is 9; ..." for unknown keys, wrong types and
/// values out of range
void fields_from_json(const Json& json, const Fields& fields, std::string_view section);

}  // namespace fathom
