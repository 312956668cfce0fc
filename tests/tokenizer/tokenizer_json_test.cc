#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "data/test_data.h"
#include "tokenizer/tokenizer_json/pattern.h"
#include "tokenizer/tokenizer_json/unicode_forms.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using testing::data_error;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::words;

/// A byte-level file whose vocabulary has "a" = 0, "b" = 1, "ab" = 2, "<e>" = 3.
json small_file() {
  return {
      {"added_tokens", {{{"id", 3}, {"content", "<e>"}, {"special", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model",
       {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}}}};
}

Tokenizer load(const TemporaryFolder& folder, const std::string& text) {
  return Tokenizer::load(folder.write("m/tokenizer.json", text));
}
Tokenizer load(const TemporaryFolder& folder, const json& file) {
  return load(folder, file.dump());
}

std::string load_error(const std::string& text) {
  const TemporaryFolder folder;
  const std::string message = data_error([&] { load(folder, text); });
  EXPECT_THAT(message, HasSubstr("m/tokenizer.json"));
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

/// The error of a file in which `change` was made.
std::string error_with(const std::function<void(json&)>& change) {
  json file = small_file();
  change(file);
  return load_error(file.dump());
}

/// Why text is refused with such a file, which loads all the same.
std::string refusal_with(const std::function<void(json&)>& change) {
  const TemporaryFolder folder;
  json file = small_file();
  change(file);
  const Tokenizer tokenizer = load(folder, file);
  EXPECT_FALSE(tokenizer.handles_text());
  EXPECT_GT(tokenizer.vocab_size(), 0);
  return data_error([&] { tokenizer.encode("ab"); });
}

TEST(TokenizerJson, MergesBytesAndFindsAddedTokens) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = load(folder, small_file());
  EXPECT_TRUE(tokenizer.handles_text());
  EXPECT_EQ(tokenizer.vocab_size(), 4);
  EXPECT_EQ(tokenizer.encode("aab<e>b"), (std::vector<int32_t>{0, 2, 3, 1}));
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{0, 2, 3, 1}), "aabb");
}

TEST(TokenizerJson, ThreadsShareIt) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = load(folder, small_file());
  const std::string text = words(2000);
  std::string letters;
  for (const char c : text) letters += c == 'a' || c == 'e' ? 'a' : 'b';
  const std::vector<int32_t> expected = tokenizer.encode(letters);
  std::vector<std::vector<int32_t>> ids(4);
  std::vector<std::thread> threads;
  for (auto& own : ids) threads.emplace_back([&] { own = tokenizer.encode(letters); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& own : ids) EXPECT_EQ(own, expected);
}

TEST(TokenizerJson, NamesWhatIsWrongWithAFile) {
  EXPECT_THAT(load_error("{"), HasSubstr("isn't JSON"));
  EXPECT_THAT(load_error("{\"a\":" + std::string(9999, '[') + std::string(9999, ']') + "}"),
              HasSubstr("64 levels"));
  EXPECT_THAT(load_error("{\"model\": \"\xFF\"}"), HasSubstr("isn't JSON"));
  EXPECT_THAT(load_error("[]"), HasSubstr("allowed: an object"));
  EXPECT_THAT(error_with([](json& file) { file["model"].erase("vocab"); }),
              HasSubstr("model has no \"vocab\""));
  EXPECT_THAT(error_with([](json& file) { file["model"]["vocab"]["a"] = -1; }),
              AllOf(HasSubstr("model.vocab[\"a\"] is -1"), HasSubstr("allowed: from 0 to")));
  EXPECT_THAT(error_with([](json& file) { file["model"]["vocab"]["a"] = 1e18; }),
              HasSubstr("model.vocab[\"a\"] is 1e+18"));
  EXPECT_THAT(error_with([](json& file) { file["model"]["vocab"]["\x1b[31m"] = "x"; }),
              HasSubstr("model.vocab[\"\\u001b[31m\"] is \"x\""));
  EXPECT_THAT(error_with([](json& file) { file["model"]["merges"][0] = "a z"; }),
              AllOf(HasSubstr("model.merges[0] is \"a z\""), HasSubstr("tokens of model.vocab")));
  EXPECT_THAT(error_with([](json& file) { file["model"]["merges"][0] = "b a"; }),
              HasSubstr("model.merges[0] is \"b a\""));
  EXPECT_THAT(error_with([](json& file) { file["model"]["merges"][0] = json::array({"a"}); }),
              HasSubstr("model.merges[0] is a list; allowed: two tokens"));
  EXPECT_THAT(error_with([](json& file) { file["added_tokens"][0]["id"] = 1LL << 40; }),
              HasSubstr("added_tokens[0].id is 1099511627776"));
}

TEST(TokenizerJson, RefusesByNameWhatItDoesntHave) {
  EXPECT_THAT(
      refusal_with([](json& file) { file["model"]["type"] = "WordPiece"; }),
      AllOf(HasSubstr("model.type = \"WordPiece\""), HasSubstr("/m TEXT... --output F.tokens")));
  EXPECT_THAT(refusal_with([](json& file) { file["model"]["dropout"] = 0.1; }),
              HasSubstr("model.dropout = 0.1"));
  EXPECT_THAT(refusal_with([](json& file) {
                file["normalizer"] = {{"type", "Precompiled"}};
              }),
              HasSubstr("normalizer.type = \"Precompiled\""));
  EXPECT_THAT(refusal_with([](json& file) { file["pre_tokenizer"]["new_option"] = true; }),
              HasSubstr("pre_tokenizer.new_option"));
  EXPECT_THAT(refusal_with([](json& file) {
                file["pre_tokenizer"] = {
                    {"type", "Split"}, {"pattern", {{"Regex", "a\\b"}}}, {"behavior", "Isolated"}};
              }),
              AllOf(HasSubstr("'\\b'"), HasSubstr("pre_tokenizer.pattern")));
}

/// What a pattern of Oniguruma finds in a text.
std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  const tokenizer_json::Pattern compiled(tokenizer_json::to_pcre2(pattern), pattern);
  tokenizer_json::Pattern::Search search(compiled, text);
  std::vector<std::string> found;
  for (tokenizer_json::Pattern::Match match; search.next(match);)
    found.push_back(text.substr(match.begin, match.end - match.begin));
  return found;
}

TEST(TokenizerJsonPattern, TakesWhatOnigurumaCallsSpacesLettersAndDigits) {
  using Found = std::vector<std::string>;
  EXPECT_EQ(matches("\\s", "a\u180E \u2003"), (Found{" ", "\u2003"}));
  // Of Unicode 15 and 16: CYRILLIC CAPITAL LETTER TJE, KAWI LETTER A, a CJK ideograph.
  EXPECT_EQ(matches("\\p{L}+", "\u1C89\U00011F04-\U00031350"),
            (Found{"\u1C89\U00011F04", "\U00031350"}));
  EXPECT_EQ(matches("[^\\p{L}]", "\U00011F04!"), Found{"!"});
  EXPECT_EQ(matches("(?i:'s|'re)", "'S 'RE '\u017F"), (Found{"'S", "'RE", "'\u017F"}));
  EXPECT_EQ(matches("a?+a|b", "ab"), Found{"b"});
  EXPECT_EQ(matches("[^(\\s|[.,!])]+", "ab, (c!"), (Found{"ab", "c"}));
}

TEST(TokenizerJsonPattern, IsRefusedWhereItsMeaningIsAnother) {
  for (const char* pattern :
       {"\\h", "\\b", "\\G", "\\k<a>", "(?<name>a)", "(?m:.)", "a(?i)b", "[a&&b]", "[[:alpha:]]",
        "[a[^b]]", "a{,3}", "a{2}+", "a{2}?", "\\p{Thai}", "\\xff"})
    EXPECT_THROW(tokenizer_json::to_pcre2(pattern), tokenizer_json::Unsupported) << pattern;
}

TEST(TokenizerJsonPattern, ThatGoesBackAndForthForEverIsAnErrorThatNamesIt) {
  const std::string message =
      data_error([] { matches("(?:a+a+)+c", std::string(5000, 'a') + "bc"); });
  EXPECT_THAT(message, AllOf(HasSubstr("(?:a+a+)+c"), HasSubstr("limit")));
}

TEST(TokenizerJsonUnicode, FormsLeaveWhatTheTokenizersLibraryDoesntKnow) {
  const auto form = [](const char* name, const std::string& text) {
    return tokenizer_json::to_form(text, *tokenizer_json::find_form(name));
  };
  EXPECT_EQ(form("NFC", "e\u0301\u0323"), "\u1EB9\u0301");
  EXPECT_EQ(form("NFD", "\u1EB9\u0301"), "e\u0323\u0301");
  EXPECT_EQ(form("NFKC", "\uFB01\u2460"), "fi1");
  EXPECT_EQ(form("NFC", "\u0345\u0899\u0323"), "\u0345\u0899\u0323");  // a mark since Unicode 14
  EXPECT_EQ(form("NFKC", "\u32FF"), "\u32FF");                         // a square since 12.1
  EXPECT_EQ(tokenizer_json::to_lower("A\u0130\u03A3"), "ai\u0307\u03C3");
}

}  // namespace
}  // namespace fathom
