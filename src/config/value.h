// From a node to a field and back: types, limits, wording.
#pragma once

#include <string>

#include "config/tree.h"
#include "fathom/config/fields.h"

namespace fathom {

/// "a whole number, at least 1", "true or false", "pre, post or lns".
std::string allowed_values(const Field& field);

/// Sets a field from a node.
/// @param where "file:line", for the message
/// @throws ConfigError "where: key is value; allowed: ...": wrong type, out of range, no such name
void assign(const Field& field, const Node& node, const std::string& where);

/// The node that a value typed on a command line stands for: texts need no quotes there, lists are
/// JSON or one element.
/// @throws ConfigError for a list that isn't JSON
Node typed_value(const Field& field, const std::string& typed, const std::string& where);

/// Whether the field is an optional without a value.
bool is_unset(const Field& field);

/// Gives a field the value of its namesake in another config.
void copy_value(const Field& from, const Field& to);

/// The value in YAML (and for lists and numbers in JSON): `0.001`, `"a b"`, `[0.9, 0.999]`.
/// An unset optional gives "".
std::string yaml_value(const Field& field);

}  // namespace fathom
