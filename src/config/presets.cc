#include "fathom/config/presets.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <tuple>

#include "config/embedded.h"
#include "fathom/base/names.h"

namespace fathom {
namespace {

constexpr std::string_view kModelPrefix = "llama_";
constexpr std::string_view kExtension = ".yaml";

std::string name_of(std::string_view file) {
  if (file.starts_with(kModelPrefix)) file.remove_prefix(kModelPrefix.size());
  file.remove_suffix(kExtension.size());
  return std::string(file);
}

/// "# A comment." -> "A comment."
std::string first_comment(const std::string& text) {
  const size_t start = text.find_first_not_of("# ");
  return text.substr(start, text.find('\n') - start);
}

/// Parameters that a name like "130m" or "1b" promises, in millions; 0 for another name.
double millions(const std::string& name) {
  double number = 0;
  const char* end = name.data() + name.size();
  const auto [stopped, error] = std::from_chars(name.data(), end, number);
  if (error != std::errc() || stopped + 1 != end) return 0;
  return *stopped == 'b' ? 1000 * number : number;
}

bool comes_before(const Preset& a, const Preset& b) {
  const auto key = [](const Preset& preset) {
    const double size = millions(preset.name);
    return std::tuple(size == 0, size, preset.name);
  };
  return key(a) < key(b);
}

std::vector<Preset> read_presets() {
  std::vector<Preset> all;
  for (const EmbeddedFile& file : embedded_configs())
    all.push_back({name_of(file.name), file.name, first_comment(file.text), file.text});
  std::sort(all.begin(), all.end(), comes_before);
  return all;
}

}  // namespace

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = read_presets();
  return all;
}

std::vector<std::string> preset_names() { return names_of(presets()); }

}  // namespace fathom
