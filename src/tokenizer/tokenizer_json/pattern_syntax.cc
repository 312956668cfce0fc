// From Oniguruma's Ruby syntax to PCRE2's.
#include <algorithm>
#include <cctype>

#include "fathom/base/error.h"
#include "tokenizer/tokenizer_json/pattern.h"
#include "tokenizer/tokenizer_json/unicode_tables.h"

namespace fathom::tokenizer_json {
namespace {

/// Oniguruma's \s; PCRE2's has U+180E as well.
constexpr std::string_view kSpaces =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

/// Oniguruma's \w beside letters, marks, decimal digits, letter-like numbers and connectors.
constexpr std::string_view kOtherWordCharacters =
    R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";

constexpr auto kCategories = std::to_array<std::string_view>(
    {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",
     "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
     "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "Cc", "Cf"});

/// What stands between [ and ] for a category or a script. A letter's ASCII comes first: a bitmap
/// answers for it, which is quicker than Unicode's table.
std::string members(std::string_view property) {
  if (property == "Han") return R"(\p{sc:Han}\x{2b739}\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})";
  if (property == "Hiragana" || property == "Katakana" || property == "Hangul")
    return cat("\\p{sc:", property, "}");
  if (std::find(kCategories.begin(), kCategories.end(), property) == kCategories.end())
    throw Unsupported(cat("\\p{", property.substr(0, 40), "}"));
  std::string text = property == "L" ? "A-Za-z" : property == "N" || property == "Nd" ? "0-9" : "";
  text += cat("\\p{", property, "}");
  for (const CategorizedCodePoints& more : kNewInCategories) {
    if (more.category.starts_with(property))
      text += cat(std::hex, "\\x{", more.first, "}-\\x{", more.last, "}");
  }
  return text;
}

/// Reads a pattern from the left and writes its translation.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : rest_(pattern) {}

  std::string translate() {
    if (take("(?i)")) out_ += "(?i)";
    while (!rest_.empty()) step();
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(size_t length) const {
    throw Unsupported(cat("'", rest_.substr(0, length), "'"));
  }

  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  void copy(size_t length) {
    out_ += rest_.substr(0, length);
    rest_.remove_prefix(std::min(length, rest_.size()));
  }

  void step() {
    switch (rest_.front()) {
      case '\\':
        return escape(/*inside=*/false);
      case '[':
        return bracket();
      case '(':
        return group();
      case '{':
        return repeat();
      default:
        return copy(1);
    }
  }

  /// {n}, {n,} and {n,m}, which mean something else there with a + or a ? behind them.
  void repeat() {
    const size_t end = rest_.find('}');
    const std::string_view inner = rest_.substr(1, end == std::string_view::npos ? 0 : end - 1);
    const bool numbers = !inner.empty() &&
                         std::isdigit(static_cast<unsigned char>(inner[0])) != 0 &&
                         inner.find_first_not_of("0123456789,") == std::string_view::npos &&
                         std::count(inner.begin(), inner.end(), ',') <= 1;
    if (!numbers) refuse(end == std::string_view::npos ? 1 : end + 1);
    const bool fixed = inner.find(',') == std::string_view::npos;
    const char next = end + 1 < rest_.size() ? rest_[end + 1] : '\0';
    if (next == '+' || (next == '?' && fixed)) refuse(end + 2);
    copy(end + 1);
  }

  void group() {
    for (const std::string_view start : {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
      if (rest_.starts_with(start)) return copy(start.size());
    }
    if (rest_.starts_with("(?") || rest_.starts_with("(*")) refuse(4);
    copy(1);
  }

  /// A class. Those within it are members of it, unless they are negated.
  void bracket() {
    copy(1);
    if (rest_.starts_with('^')) copy(1);
    if (rest_.starts_with(']')) refuse(1);
    for (int depth = 1; depth > 0;) {
      if (rest_.empty()) throw std::invalid_argument("a [ isn't closed");
      if (rest_.front() == '\\') {
        escape(/*inside=*/true);
      } else if (rest_.front() == '[') {
        if (rest_.starts_with("[^") || rest_.starts_with("[:") || rest_.starts_with("[]"))
          refuse(2);
        rest_.remove_prefix(1);
        ++depth;
      } else if (rest_.front() == ']') {
        rest_.remove_prefix(1);
        --depth;
      } else if (rest_.starts_with("&&")) {
        refuse(2);
      } else if (rest_.starts_with("-\\") && rest_.size() > 2 &&
                 std::string_view("sSdDwWpP").find(rest_[2]) != std::string_view::npos) {
        out_ += "\\-";  // no range reaches to a set
        rest_.remove_prefix(1);
      } else {
        copy(1);
      }
    }
    out_ += ']';
  }

  /// A set of characters, where a class is open or not.
  void set(std::string_view characters, bool inside, bool negated) {
    if (inside)
      out_ += characters;
    else
      out_ += cat(negated ? "[^" : "[", characters, "]");
  }

  void escape(bool inside) {
    if (rest_.size() < 2) throw std::invalid_argument("it ends in a \\");
    const char c = rest_[1];
    const bool negated = c == 'S' || c == 'D' || c == 'W' || c == 'P';
    if (c == 'S' && inside) {
      rest_.remove_prefix(2);
      out_ += R"(\S\x{180e})";
    } else if (negated && inside) {
      refuse(2);
    } else if (c == 's' || c == 'S' || c == 'd' || c == 'D' || c == 'w' || c == 'W') {
      rest_.remove_prefix(2);
      set(shorthand(c), inside, negated);
    } else if (c == 'p' || c == 'P') {
      property(inside, negated);
    } else if (c == 'x' || c == 'u') {
      code_point();
    } else if (std::string_view("nrtf").find(c) != std::string_view::npos ||
               (static_cast<unsigned char>(c) < 0x80 &&
                std::isalnum(static_cast<unsigned char>(c)) == 0)) {
      copy(2);
    } else {
      refuse(2);
    }
  }

  static std::string shorthand(char c) {
    if (c == 's' || c == 'S') return std::string(kSpaces);
    if (c == 'd' || c == 'D') return members("Nd");
    std::string word(kOtherWordCharacters);
    for (const std::string_view category : {"L", "M", "Nd", "Nl", "Pc"}) word += members(category);
    return word;
  }

  void property(bool inside, bool negated) {
    const size_t end = rest_.find('}');
    if (!rest_.substr(2).starts_with('{') || end == std::string_view::npos || rest_[3] == '^')
      refuse(4);
    const std::string characters = members(rest_.substr(3, end - 3));
    rest_.remove_prefix(end + 1);
    set(characters, inside, negated);
  }

  /// \xHH, \x{H...} and \uHHHH.
  void code_point() {
    const bool braces = rest_.substr(2).starts_with('{');
    const size_t begin = braces ? 3 : 2;
    const size_t most = braces ? 6 : rest_[1] == 'x' ? 2 : 4;
    size_t end = begin;
    while (end < rest_.size() && end - begin < most &&
           std::isxdigit(static_cast<unsigned char>(rest_[end])) != 0)
      ++end;
    const bool closed = !braces || rest_.substr(end).starts_with('}');
    // A byte above 0x7F would be a part of a character.
    if (end == begin || !closed || (!braces && end - begin < most) ||
        (most == 2 && rest_[begin] > '7'))
      refuse(end + 1);
    out_ += cat("\\x{", rest_.substr(begin, end - begin), "}");
    rest_.remove_prefix(end + (braces ? 1 : 0));
  }

  std::string_view rest_;
  std::string out_;
};

}  // namespace

std::string to_pcre2(std::string_view oniguruma) { return Translator(oniguruma).translate(); }

}  // namespace fathom::tokenizer_json
