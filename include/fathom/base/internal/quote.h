// How text that comes from files and command lines appears in messages and on terminals.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

/// `text` with everything escaped that a terminal would obey, hide or can't show: "\x1b" for
/// control characters of ASCII and for bytes that aren't UTF-8, "\u{202e}" for other control
/// characters (C1), for those that turn the direction of text or are invisible, and for line
/// separators. What goes to a terminal passes here once: messages (main.cc, log.h, progress.h) and
/// what commands print.
/// @param kept control characters of ASCII that stay, such as "\n"
std::string printable(std::string_view text, std::string_view kept = {});

/// 'name' for a message: printable, and cut where it would flood a terminal.
std::string quote_name(std::string_view name);

/// A word as a shell reads it back, for a command that a message advises.
std::string shell_quoted(const std::string& word);

}  // namespace fathom
