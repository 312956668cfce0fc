#include "fathom/base/internal/quote.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdio>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

struct Range {
  uint32_t first, last;
};

// Unicode 15: the categories Cc (beyond ASCII), Zl, Zp and Cf, but for the joiners U+200C and
// U+200D, which scripts and emoji need, and signs that are seen.
constexpr std::array kHidden = {
    Range{0x80, 0x9F},     Range{0xAD, 0xAD},     Range{0x61C, 0x61C},     Range{0x180E, 0x180E},
    Range{0x200B, 0x200B}, Range{0x200E, 0x200F}, Range{0x2028, 0x202E},   Range{0x2060, 0x206F},
    Range{0xFEFF, 0xFEFF}, Range{0xFFF9, 0xFFFB}, Range{0x1D173, 0x1D17A}, Range{0xE0000, 0xE0FFF}};

bool is_hidden(uint32_t character) {
  return std::any_of(kHidden.begin(), kHidden.end(), [&](const Range& range) {
    return character >= range.first && character <= range.last;
  });
}

/// The character at the start of valid UTF-8, of `size` bytes.
uint32_t decode(std::string_view text, size_t size) {
  uint32_t character = static_cast<unsigned char>(text[0]);
  if (size > 1) character &= 0x7FU >> size;
  for (size_t i = 1; i < size; ++i)
    character = character << 6 | (static_cast<unsigned char>(text[i]) & 0x3FU);
  return character;
}

void append_escaped(const char* format, uint32_t value, std::string& out) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), format, static_cast<unsigned>(value));
  out += text.data();
}

/// Appends valid UTF-8.
void append_printable(std::string_view text, std::string_view kept, std::string& out) {
  for (size_t at = 0; at < text.size();) {
    const size_t size = next_character(text, at + 1) - at;
    const uint32_t character = decode(text.substr(at), size);
    const bool is_control = character < 0x20 || character == 0x7F;
    if (is_control && kept.find(text[at]) == std::string_view::npos)
      append_escaped("\\x%02x", character, out);
    else if (is_hidden(character))
      append_escaped("\\u{%x}", character, out);
    else
      out += text.substr(at, size);
    at += size;
  }
}

}  // namespace

std::string printable(std::string_view text, std::string_view kept) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Scan scan = scan_utf8(text);
    append_printable(text.substr(0, scan.valid), kept, out);
    for (const char byte : text.substr(scan.valid, scan.bad))
      append_escaped("\\x%02x", static_cast<unsigned char>(byte), out);
    text.remove_prefix(scan.valid + scan.bad);
  }
  return out;
}

std::string quote_name(std::string_view name) {
  constexpr size_t kMaxBytes = 200;
  if (name.size() <= kMaxBytes) return cat("'", printable(name), "'");
  const size_t end = character_start(name, kMaxBytes);
  return cat("'", printable(name.substr(0, end > 0 ? end : kMaxBytes)), "...'");
}

std::string shell_quoted(const std::string& word) {
  constexpr std::string_view kPlain = "@%+=:,./-_";
  const auto is_plain = [&](unsigned char c) {
    return std::isalnum(c) != 0 || kPlain.find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return word;
  std::string quoted;
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return cat("'", quoted, "'");
}

}  // namespace fathom
