#include "tokenizer/tokenizer_json/byte_symbols.h"

#include <array>

namespace fathom::tokenizer_json {
namespace {

constexpr bool is_printable(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Symbols {
  std::array<std::string, 256> of_byte;
  std::array<int, 0x200> byte_of{};  // by code point; -1: none

  Symbols() {
    byte_of.fill(-1);
    unsigned next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const unsigned code = is_printable(byte) ? byte : next++;
      byte_of[code] = static_cast<int>(byte);
      if (code < 0x80)
        of_byte[byte] = static_cast<char>(code);
      else
        of_byte[byte] = {static_cast<char>(0xC0 | code >> 6),
                         static_cast<char>(0x80 | (code & 0x3F))};
    }
  }
};

const Symbols& symbols() {
  static const Symbols table;
  return table;
}

}  // namespace

std::string_view symbol_of_byte(unsigned char byte) { return symbols().of_byte[byte]; }

std::string symbols_of_bytes(std::string_view text) {
  std::string out;
  for (const char c : text) out += symbol_of_byte(static_cast<unsigned char>(c));
  return out;
}

std::optional<std::string> bytes_of_symbols(std::string_view token) {
  std::string bytes;
  for (size_t at = 0; at < token.size(); ++at) {
    unsigned code = static_cast<unsigned char>(token[at]);
    if (code >= 0x80) {  // all of them have two bytes
      if (code < 0xC2 || code > 0xC7 || at + 1 == token.size()) return std::nullopt;
      code = (code & 0x1F) << 6 | (static_cast<unsigned char>(token[++at]) & 0x3F);
    }
    const int byte = symbols().byte_of[code];
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace fathom::tokenizer_json
