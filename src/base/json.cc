#include "fathom/base/json.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/internal/line_counter.h"

namespace fathom {
namespace {

constexpr int kMaxDepth = 64;

}  // namespace

Json parse_json(std::string_view text, std::string_view where) {
  int line = 1;
  std::vector<std::set<std::string>> open_objects;
  const auto reject = [&](const std::string& reason) {
    throw std::invalid_argument(cat(where, ":", line, ": ", reason));
  };
  const auto callback = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth >= kMaxDepth) reject(cat("more than ", kMaxDepth, " levels of nesting"));
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto key = parsed.get<std::string>();
      if (!open_objects.back().insert(key).second) reject(cat("duplicate key '", key, "'"));
    }
    return true;
  };
  // nlohmann takes a NUL for the end of the text.
  if (text.find('\0') != std::string_view::npos) reject("not valid JSON: it holds a NUL");
  try {
    return Json::parse(LineCountingIterator(text.data(), &line),
                       LineCountingIterator(text.data() + text.size(), &line), callback);
  } catch (const nlohmann::json::exception& error) {
    const std::string what = error.what();  // "[json.exception.parse_error.101] parse error at ..."
    const size_t bracket = what.find("] ");
    reject(cat("not valid JSON: ", bracket == std::string::npos ? what : what.substr(bracket + 2)));
  }
  return {};  // not reached: reject throws
}

std::string json_text(const Json& json) {
  return json.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

}  // namespace fathom
