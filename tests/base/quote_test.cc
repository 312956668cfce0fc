#include "fathom/base/internal/quote.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(Printable, LeavesReadableTextOfEveryScriptAsItIs) {
  for (const char* text :
       {"plain", "na\xC3\xAFve", "\xE4\xBD\xA0\xE5\xA5\xBD", "\xD8\xB3\xD9\x84",
        // A family: three people with joiners.
        "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7", "e\xCC\x81",
        "C:\\new", "\xC2\xA0\xEF\xBF\xBD"})
    EXPECT_EQ(printable(text), text);
}

TEST(Printable, EscapesWhatATerminalObeysOrHides) {
  EXPECT_EQ(printable("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(printable(std::string_view("\0\n\t\r\x7f", 5)), "\\x00\\x0a\\x09\\x0d\\x7f");
  EXPECT_EQ(printable("\n\tx\r", "\n\t"), "\n\tx\\x0d");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\u{9b}31m");  // C1's CSI
  EXPECT_EQ(printable("gnp.\xE2\x80\xAE"
                      "exe"),
            "gnp.\\u{202e}exe");  // right to left
  EXPECT_EQ(printable("a\xE2\x81\xA6\xE2\x80\x8B\xEF\xBB\xBF"), "a\\u{2066}\\u{200b}\\u{feff}");
  EXPECT_EQ(printable("\xE2\x80\xA8"), "\\u{2028}");       // a line separator
  EXPECT_EQ(printable("\xF3\xA0\x81\xA1"), "\\u{e0061}");  // an invisible letter
}

TEST(Printable, EscapesTheBytesThatAreNoUtf8AndNoOthers) {
  EXPECT_EQ(printable("a\xFA"
                      "b"),
            "a\\xfab");
  EXPECT_EQ(printable("\xC3"), "\\xc3");  // cut off
  EXPECT_EQ(printable("\xC0\x80|\xED\xA0\x80"),
            "\\xc0\\x80|\\xed\\xa0\\x80");  // overlong, surrogate
  EXPECT_EQ(printable("\x9B"
                      "31m"),
            "\\x9b"
            "31m");  // C1 as a byte
}

TEST(QuoteName, IsCutBetweenCharactersWhereItWouldFloodATerminal) {
  EXPECT_EQ(quote_name("a\nb"), "'a\\x0ab'");
  std::string name(199, 'x');
  name += "\xC3\xA9 and more";
  EXPECT_EQ(quote_name(name), "'" + std::string(199, 'x') + "...'");
  EXPECT_EQ(quote_name(std::string(300, '\x80')).size(), 2 + 3 + 200 * 4U);
}

TEST(ShellQuoted, IsOneWordForAShell) {
  EXPECT_EQ(shell_quoted("a/b-1.txt"), "a/b-1.txt");
  EXPECT_EQ(shell_quoted("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(shell_quoted(""), "''");
}

}  // namespace
}  // namespace fathom
