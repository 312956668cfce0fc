// UTF-8: where a text stops being valid, and what replaces the rest.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fathom {

/// How far a text is valid UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
struct Utf8Scan {
  size_t valid = 0;  ///< bytes of the longest valid prefix
  size_t bad = 0;    ///< bytes after it that one U+FFFD replaces; 0 when all is valid
  bool incomplete =
      false;  ///< the bad bytes are a good start of a character that the text cuts off
};

Utf8Scan scan_utf8(std::string_view text);

/// Appends `text` with each ill-formed sequence (a maximal subpart, as Unicode and Python's
/// errors="replace" count them) turned into U+FFFD. @returns how many were replaced
size_t append_replacing(std::string_view text, std::string& out);

/// The first start of a character at or after `position`, or the end, in valid UTF-8.
size_t next_character(std::string_view text, size_t position);

/// The last start of a character at or before `position`, or the end if the text is shorter.
size_t character_start(std::string_view text, size_t position);

}  // namespace fathom
