#include "fathom/base/internal/file_kinds.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace fathom {
namespace {

struct Kind {
  std::string_view start, name;
};
constexpr std::array kKinds = {Kind{"<", "HTML or XML, as a server's error page is"},
                               Kind{"{", "JSON"},
                               Kind{"[", "JSON"},
                               Kind{"GGUF", "GGUF, llama.cpp's format"},
                               Kind{"PK\x03\x04", "a zip archive, as PyTorch's weights are"},
                               Kind{"\x1F\x8B", "gzip"}};

}  // namespace

std::string_view foreign_kind(std::string_view start) {
  if (start.starts_with("\xEF\xBB\xBF")) start.remove_prefix(3);
  start.remove_prefix(std::min(start.find_first_not_of(" \t\r\n"), start.size()));
  const auto* kind = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](const Kind& row) { return start.starts_with(row.start); });
  return kind == kKinds.end() ? "" : kind->name;
}

bool is_tiktoken_file(std::string_view start) {
  const std::string_view line = start.substr(0, start.find('\n'));
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0) return false;
  const std::string_view token = line.substr(0, space);
  std::string_view rank = line.substr(space + 1);
  if (rank.ends_with('\r')) rank.remove_suffix(1);
  const auto is_base64 = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '+' || c == '/' || c == '=';
  };
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  return token.size() % 4 == 0 && std::all_of(token.begin(), token.end(), is_base64) &&
         !rank.empty() && rank.size() <= 7 && std::all_of(rank.begin(), rank.end(), is_digit);
}

}  // namespace fathom
