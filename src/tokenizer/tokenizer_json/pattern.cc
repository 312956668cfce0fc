#include "tokenizer/tokenizer_json/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cctype>
#include <new>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"

namespace fathom::tokenizer_json {
namespace {

constexpr size_t kMaxPatternBytes = size_t{64} << 10;
constexpr uint32_t kMaxSteps = 10'000'000;  // of one match
constexpr uint32_t kMaxHeapKiB = 64 << 10;
// "\n" alone ends a line, and ^ and $ are about lines: Oniguruma's Ruby syntax.
constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE;

std::string error_text(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

/// A pattern that matches a text as it is.
std::string literal_pattern(std::string_view literal) {
  std::string pattern;
  for (const char c : literal) {
    const bool letter = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (static_cast<unsigned char>(c) < 0x80 && !letter) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace

struct Pattern::Code {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  bool jit = false;

  explicit Code(const std::string& pattern) {
    pcre2_compile_context* compile = pcre2_compile_context_create(nullptr);
    if (compile == nullptr) throw std::bad_alloc();
    pcre2_set_newline(compile, PCRE2_NEWLINE_LF);
    int error = 0;
    PCRE2_SIZE offset = 0;
    code = pcre2_compile(units(pattern), pattern.size(), kOptions, &error, &offset, compile);
    pcre2_compile_context_free(compile);
    if (code == nullptr) throw std::invalid_argument(error_text(error));
    context = pcre2_match_context_create(nullptr);
    if (context == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(context, kMaxSteps);
    pcre2_set_heap_limit(context, kMaxHeapKiB);
    jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
  }
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;

  int match(std::string_view text, size_t begin, pcre2_match_data* data) const {
    int found = PCRE2_ERROR_JIT_STACKLIMIT;
    if (jit) found = pcre2_jit_match(code, units(text), text.size(), begin, 0, data, context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
      found = pcre2_match(code, units(text), text.size(), begin, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                          data, context);
    return found;
  }
};

Pattern::Pattern(const Node& node) {
  node.allow_only({"Regex", "String"});
  const auto regex = node.find("Regex");
  const std::string text = (regex ? *regex : node.at("String")).text();
  if (text.empty() || text.size() > kMaxPatternBytes)
    node.reject(cat("{\"Regex\": ...} or {\"String\": ...} with a pattern of 1 to ",
                    kMaxPatternBytes, " bytes"));
  try {
    *this = Pattern(regex ? to_pcre2(text) : literal_pattern(text),
                    cat(node.place(), " = ", node.shown()));
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(cat(node.place(), " = ", node.shown(), ": ", error.what()));
  } catch (const Unsupported& error) {
    throw Unsupported(cat(error.what(), " in ", node.place(), " = ", node.shown()));
  }
}

Pattern::Pattern(const std::string& pcre2, std::string shown)
    : shown_(std::move(shown)), code_(std::make_unique<const Code>(pcre2)) {}
Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

std::string Pattern::replace_all(std::string_view text, std::string_view by) const {
  Search search(*this, text);
  std::string out;
  size_t done = 0;
  for (Match match; search.next(match); done = match.end)
    out.append(text.substr(done, match.begin - done)).append(by);
  return out.append(text.substr(done));
}

Pattern::Search::Search(const Pattern& pattern, std::string_view text)
    : pattern_(&pattern), text_(text), match_data_(pcre2_match_data_create(1, nullptr)) {
  if (match_data_ == nullptr) throw std::bad_alloc();
}

Pattern::Search::~Search() { pcre2_match_data_free(static_cast<pcre2_match_data*>(match_data_)); }

bool Pattern::Search::match_at(size_t begin, Match& match) {
  auto* data = static_cast<pcre2_match_data*>(match_data_);
  const int found = pattern_->code_->match(text_, begin, data);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0)
    throw DataError(cat(pattern_->shown_, " can't be matched with a text of ", text_.size(),
                        " bytes: ", error_text(found)));
  const PCRE2_SIZE* place = pcre2_get_ovector_pointer(data);
  match = {place[0], place[1]};
  return true;
}

bool Pattern::Search::next(Match& match) {
  while (at_ <= text_.size() && match_at(at_, match)) {
    if (match.begin < match.end || match.end != last_end_) {
      at_ = last_end_ = match.end;
      return true;
    }
    at_ = at_ == text_.size() ? at_ + 1 : next_character(text_, at_ + 1);
  }
  return false;
}

}  // namespace fathom::tokenizer_json
