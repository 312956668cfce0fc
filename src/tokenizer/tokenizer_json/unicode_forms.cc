#include "tokenizer/tokenizer_json/unicode_forms.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "tokenizer/tokenizer_json/unicode_tables.h"

namespace fathom::tokenizer_json {
namespace {

constexpr std::array kForms{UnicodeForm{"NFC", true, false}, UnicodeForm{"NFD", false, false},
                            UnicodeForm{"NFKC", true, true}, UnicodeForm{"NFKD", false, true}};

using Bytes = const utf8proc_uint8_t*;

/// The code point at the start of a text, and how many bytes it has.
std::pair<uint32_t, size_t> first_code_point(std::string_view text) {
  utf8proc_int32_t code = 0;
  const auto bytes = utf8proc_iterate(reinterpret_cast<Bytes>(text.data()),
                                      static_cast<utf8proc_ssize_t>(text.size()), &code);
  return {static_cast<uint32_t>(code), static_cast<size_t>(std::max<utf8proc_ssize_t>(bytes, 1))};
}

bool is_unknown(uint32_t code) {
  const auto after =
      std::upper_bound(kUnknownToNormalizers.begin(), kUnknownToNormalizers.end(), code,
                       [](uint32_t value, const CodePoints& range) { return value < range.first; });
  return after != kUnknownToNormalizers.begin() && code <= std::prev(after)->last;
}

utf8proc_int32_t lower_of(uint32_t code) {
  for (const LowerCase& range : kNewLowerCase) {
    if (code >= range.first && code <= range.last)
      return static_cast<utf8proc_int32_t>(range.lower + (code - range.first));
  }
  return utf8proc_tolower(static_cast<utf8proc_int32_t>(code));
}

/// Whether each form leaves a text as it is: NFC up to U+02FF, the others ASCII.
bool is_plain(std::string_view text, const UnicodeForm& form) {
  const unsigned char below = form.compose && !form.compatible ? 0xCC : 0x80;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return static_cast<unsigned char>(c) < below; });
}

void append_form(std::string_view text, const UnicodeForm& form, std::string& out) {
  if (text.empty()) return;
  const int options = UTF8PROC_STABLE | (form.compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                      (form.compatible ? UTF8PROC_COMPAT : 0);
  utf8proc_uint8_t* made = nullptr;
  const auto bytes =
      utf8proc_map(reinterpret_cast<Bytes>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &made, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> holder(made, &std::free);
  if (bytes < 0) throw std::bad_alloc();  // the text is valid UTF-8
  out.append(reinterpret_cast<const char*>(made), static_cast<size_t>(bytes));
}

}  // namespace

const UnicodeForm* find_form(std::string_view name) {
  const auto found = std::find_if(kForms.begin(), kForms.end(),
                                  [&](const UnicodeForm& form) { return form.name == name; });
  return found == kForms.end() ? nullptr : &*found;
}

std::string to_form(std::string_view text, const UnicodeForm& form) {
  if (is_plain(text, form)) return std::string(text);
  std::string out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const auto [code, bytes] = first_code_point(text.substr(at));
    if (is_unknown(code)) {
      append_form(text.substr(begin, at - begin), form, out);
      out.append(text.substr(at, bytes));
      begin = at + bytes;
    }
    at += bytes;
  }
  append_form(text.substr(begin), form, out);
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto [code, bytes] = first_code_point(text);
    text.remove_prefix(bytes);
    if (code == 0x130) {  // the one that becomes two
      out += "i\xCC\x87";
      continue;
    }
    std::array<utf8proc_uint8_t, 4> lower{};
    const auto length = utf8proc_encode_char(lower_of(code), lower.data());
    out.append(reinterpret_cast<const char*>(lower.data()), static_cast<size_t>(length));
  }
  return out;
}

}  // namespace fathom::tokenizer_json
