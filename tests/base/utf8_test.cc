#include "fathom/base/utf8.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

std::string replaced(std::string_view text) {
  std::string out;
  append_replacing(text, out);
  return out;
}

TEST(Utf8, AcceptsTheFirstAndLastCharacterOfEachLength) {
  for (const std::string_view text :
       {"\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
        "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"})
    EXPECT_EQ(scan_utf8(text).valid, text.size()) << text;
  EXPECT_EQ(scan_utf8(std::string_view("a\0b", 3)).bad, 0U);
}

TEST(Utf8, RefusesOverlongFormsSurrogatesAndWhatIsBeyondUnicode) {
  for (const std::string_view text :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xFF"}) {
    EXPECT_EQ(scan_utf8(text).valid, 0U);
    EXPECT_EQ(scan_utf8(text).bad, 1U);
  }
}

// Expected values: Python 3.11, bytes.decode("utf-8", errors="replace").
TEST(Utf8, ReplacesMaximalSubpartsAsPythonDoes) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(replaced("a\xFFz"), "a" + r + "z");
  EXPECT_EQ(replaced("\xE2\x82"), r);
  EXPECT_EQ(replaced("\xE2\x82z"), r + "z");
  EXPECT_EQ(replaced("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(replaced("\xF0\x9F\x98z\xF0\x9F"), r + "z" + r);
  EXPECT_EQ(replaced("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(replaced("\xC3\xA9\xC3\x28"), "\xC3\xA9" + r + "(");
}

TEST(Utf8, TellsACutOffCharacterFromABrokenOne) {
  EXPECT_TRUE(scan_utf8("ab\xE2\x82").incomplete);
  EXPECT_EQ(scan_utf8("ab\xE2\x82").valid, 2U);
  EXPECT_FALSE(scan_utf8("ab\xE2\x28").incomplete);
  EXPECT_FALSE(scan_utf8("ab\xFF").incomplete);
}

TEST(Utf8, FindsTheCharactersAroundAPosition) {
  const std::string_view text = "a\xE2\x82\xACz";
  EXPECT_EQ(next_character(text, 1), 1U);
  EXPECT_EQ(next_character(text, 2), 4U);
  EXPECT_EQ(character_start(text, 3), 1U);
  EXPECT_EQ(character_start(text, 4), 4U);
  EXPECT_EQ(character_start(text, 9), 5U);
}

}  // namespace
}  // namespace fathom
