#include "fathom/base/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace fathom {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Bytes of ASCII at the start of `text`, eight at a time.
size_t ascii_prefix(std::string_view text) {
  size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    if ((word & 0x8080808080808080U) != 0) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

/// What a lead byte announces: the length of the character, and the range of its second byte.
struct Lead {
  size_t length = 0;  ///< 0: not a lead byte
  unsigned char second_min = 0x80;
  unsigned char second_max = 0xBF;
};

/// Unicode 15, table 3-7 (well-formed byte sequences).
Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

Utf8Scan scan_utf8(std::string_view text) {
  size_t at = 0;
  while (true) {
    at += ascii_prefix(text.substr(at));
    if (at == text.size()) return {at, 0, false};
    const Lead lead = lead_of(static_cast<unsigned char>(text[at]));
    if (lead.length == 0) return {at, 1, false};
    size_t good = 1;
    while (good < lead.length && at + good < text.size()) {
      const auto byte = static_cast<unsigned char>(text[at + good]);
      const bool fits = good == 1 ? byte >= lead.second_min && byte <= lead.second_max
                                  : byte >= 0x80 && byte <= 0xBF;
      if (!fits) break;
      ++good;
    }
    if (good < lead.length) return {at, good, at + good == text.size()};
    at += lead.length;
  }
}

size_t append_replacing(std::string_view text, std::string& out) {
  size_t replaced = 0;
  while (true) {
    const Utf8Scan scan = scan_utf8(text);
    out.append(text.substr(0, scan.valid));
    if (scan.bad == 0) return replaced;
    out.append(kReplacement);
    ++replaced;
    text.remove_prefix(scan.valid + scan.bad);
  }
}

size_t next_character(std::string_view text, size_t position) {
  while (position < text.size() && is_continuation(text[position])) ++position;
  return std::min(position, text.size());
}

size_t character_start(std::string_view text, size_t position) {
  if (position >= text.size()) return text.size();
  while (position > 0 && is_continuation(text[position])) --position;
  return position;
}

}  // namespace fathom
