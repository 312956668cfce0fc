#include "fathom/base/error.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <numeric>

namespace fathom {
namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

/// "train.lr" -> "lr": users often know the last part and miss the section.
std::string_view last_part(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

}  // namespace

Interrupted::Interrupted(int signal)
    : Error(cat("stopped by SIG", ::sigabbrev_np(signal)), 128 + signal) {}

std::string join(const std::vector<std::string>& names, std::string_view separator) {
  std::string joined;
  for (const std::string& name : names) {
    if (!joined.empty()) joined += separator;
    joined += name;
  }
  return joined;
}

std::string folded_name(std::string_view name) {
  std::string text(name);
  for (char& c : text)
    c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& names) {
  std::string best;
  // Two letters may differ, three in a long name; case and '-' for '_' don't count.
  size_t best_distance = name.size() < 3 ? 2 : name.size() < 9 ? 3 : 4;
  for (const std::string& candidate : names) {
    const size_t distance = edit_distance(folded_name(name), folded_name(candidate));
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  if (!best.empty()) return best;
  for (const std::string& candidate : names) {
    if (last_part(candidate) == last_part(name)) return candidate;
  }
  return best;
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& names) {
  const std::string best = nearest_name(name, names);
  return best.empty() ? "" : cat("; did you mean '", best, "'?");
}

void throw_disk_error(std::string_view action, std::string_view path, int error_number) {
  const std::string message = cat(action, " ", path, ": ", std::strerror(error_number));
  if (error_number == ENOMEM) throw MemoryError(message);
  throw DiskError(message);
}

}  // namespace fathom
