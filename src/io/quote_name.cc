#include "quote_name.h"

#include "fathom/base/error.h"
#include "fathom/base/json.h"

namespace fathom {

std::string quote_name(std::string_view name) {
  constexpr size_t kMaxBytes = 200;
  const bool cut = name.size() > kMaxBytes;
  const Json text = std::string(name.substr(0, kMaxBytes));
  const std::string escaped =
      text.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  return cat("'", escaped.substr(1, escaped.size() - 2), cut ? "...'" : "'");
}

}  // namespace fathom
