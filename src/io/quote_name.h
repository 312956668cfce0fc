// How names that come from files appear in messages.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

/// 'name' with control characters and bad UTF-8 escaped, cut where it would flood a terminal.
std::string quote_name(std::string_view name);

}  // namespace fathom
