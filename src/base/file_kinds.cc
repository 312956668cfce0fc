#include "fathom/base/internal/file_kinds.h"

#include <algorithm>
#include <cctype>

namespace fathom {

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
