#include "fathom/base/json.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <vector>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr int kMaxDepth = 64;

/// Counts the lines of what the parser has consumed, so that an error in a callback can name its
/// line.
class LineCountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  LineCountingIterator(const char* position, int* line) : position_(position), line_(line) {}
  reference operator*() const { return *position_; }
  LineCountingIterator& operator++() {
    if (*position_ == '\n') ++*line_;
    ++position_;
    return *this;
  }
  bool operator==(const LineCountingIterator& other) const { return position_ == other.position_; }
  bool operator!=(const LineCountingIterator& other) const { return position_ != other.position_; }

 private:
  const char* position_;
  int* line_;
};

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

}  // namespace fathom
