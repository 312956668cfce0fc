#include "fathom/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace fathom {
namespace {

using testing::StartsWith;

std::string error_of(const std::string& text) {
  try {
    parse_json(text, "x.json");
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(Json, NamesTheLineOfWhatItRefuses) {
  EXPECT_THAT(error_of("{\"a\": 1,\n \"a\": 2}"), StartsWith("x.json:2: duplicate key 'a'"));
  // A number's end is seen one character later, which is the next line's first.
  EXPECT_THAT(error_of("{\"a\": 1\n}x"), StartsWith("x.json:2: not valid JSON"));
  EXPECT_THAT(error_of("[1,\n2\n,\"a\x01\"]"), StartsWith("x.json:3: not valid JSON"));
  EXPECT_THAT(error_of(std::string(65, '[')), StartsWith("x.json:1: more than 64 levels"));
}

TEST(Json, WritesBytesThatAreNotUtf8AsTheReplacementCharacter) {
  EXPECT_EQ(json_text({{"path", "a\xff/\xc3\xa9"}}),
            "{\n  \"path\": \"a\xef\xbf\xbd/\xc3\xa9\"\n}\n");
}

}  // namespace
}  // namespace fathom
