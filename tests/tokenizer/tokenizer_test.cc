#include "fathom/tokenizer/tokenizer.h"

#include "base/test_seed.h"
#include "data/test_data.h"
#include "fathom/base/hash.h"
#include "fathom/base/utf8.h"

namespace fathom {
namespace {

using testing::data_error;
using testing::llama_tokenizer_path;
using testing::small_tokenizer;
using testing::TemporaryFolder;
using testing::words;

TEST(Tokenizer, GivesTextBack) {
  const Tokenizer& tokenizer = small_tokenizer();
  for (const std::string text : {"kern nake", "  two  spaces ", "line\nbreak\r\n\ttab", "1234",
                                 "\xF0\x9F\x98\x80 \xE4\xB8\xAD", ""})
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  const std::string with_nul("a\0b", 3);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(with_nul)), with_nul);
}

TEST(Tokenizer, KnowsItsSpecialIdsAndItsFile) {
  const TemporaryFolder folder;
  const std::string path = folder.write("t.model", small_tokenizer().bytes());
  const Tokenizer tokenizer = Tokenizer::load(path);
  EXPECT_EQ(tokenizer.vocab_size(), 300);
  EXPECT_EQ(tokenizer.unk_id(), 0);
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_EQ(tokenizer.pad_id(), std::nullopt);
  EXPECT_EQ(tokenizer.piece(1), "<s>");
  EXPECT_EQ(tokenizer.checksum(), sha256_of_file(path));
  EXPECT_EQ(tokenizer.name(), path);
}

TEST(Tokenizer, RefusesIdsOutsideOfTheVocabulary) {
  const std::vector<int32_t> ids = {5, 300};
  EXPECT_NE(data_error([&] { small_tokenizer().decode(ids); }).find("token id 300"),
            std::string::npos);
  EXPECT_FALSE(data_error([&] { small_tokenizer().piece(-1); }).empty());
}

TEST(Tokenizer, NamesAFileThatIsMissingOrIsNoModel) {
  const TemporaryFolder folder;
  EXPECT_NE(data_error([&] { Tokenizer::load(folder / "none.model"); }).find("none.model"),
            std::string::npos);
  const std::string path = folder.write("text.model", "some text that isn't a model");
  EXPECT_NE(data_error([&] { Tokenizer::load(path); }).find("text.model is not a SentencePiece"),
            std::string::npos);
}

TEST(Tokenizer, NeedsAModelWithRoomForItsVocabulary) {
  EXPECT_NO_THROW(check_vocabulary(small_tokenizer(), 300));
  EXPECT_THROW(check_vocabulary(small_tokenizer(), 299), ConfigError);
  EXPECT_NO_THROW(check_fits(small_tokenizer(), 300));
  EXPECT_THROW(check_fits(small_tokenizer(), 299), CheckpointError);  // of a directory: no config
}

// Ids from PyPI's sentencepiece 0.2.1 with the same file.
TEST(Tokenizer, GivesTheIdsOfLlama2) {
  if (llama_tokenizer_path().empty())
    GTEST_SKIP() << "shared/data/llama2_tokenizer.model is missing";
  const Tokenizer tokenizer = Tokenizer::load(llama_tokenizer_path());
  EXPECT_EQ(tokenizer.vocab_size(), 32000);
  EXPECT_EQ(tokenizer.encode("Hello world"), (std::vector<int32_t>{15043, 3186}));
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
}

/// Encodes parts between cuts; what encode() does with a long text, for any length.
std::vector<int32_t> encode_whole(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.encode_part({text, PartStart::kText}, ids);
  return ids;
}

/// A tokenizer with other settings, from options of SentencePiece's wire format.
Tokenizer with_flags(bool dummy_prefix, bool remove_extra_whitespaces) {
  std::string model = small_tokenizer().bytes();
  model += std::string{'\x1a', '\x04',
                       '\x18', static_cast<char>(dummy_prefix ? 1 : 0),
                       '\x20', static_cast<char>(remove_extra_whitespaces ? 1 : 0)};
  return Tokenizer::from_bytes(model, "flags");
}

TEST(TokenizerCut, IdsOfALongTextAreThoseOfTheWhole) {
  std::string text;
  for (int i = 0; text.size() < 5 * kMaxTextPart; ++i)
    text +=
        words(3, static_cast<uint32_t>(i)) + std::string(static_cast<size_t>(i % 7), ' ') + "\n\n";
  for (const bool dummy_prefix : {false, true}) {
    for (const bool remove_extra : {false, true}) {
      const Tokenizer tokenizer = with_flags(dummy_prefix, remove_extra);
      EXPECT_EQ(tokenizer.encode(text), encode_whole(tokenizer, text))
          << dummy_prefix << remove_extra;
    }
  }
}

TEST(TokenizerCut, TextWithoutSpacesIsCutBetweenTokens) {
  std::mt19937 random(test_seed());
  std::string letters;
  std::string chinese;
  while (letters.size() < 3 * kMaxTextPart) letters += "aeknr"[random() % 5];
  while (chinese.size() < 3 * kMaxTextPart)
    chinese += std::string{'\xE4', static_cast<char>(0xB8 + random() % 4),
                           static_cast<char>(0x80 + random() % 64)};
  for (const std::string& text : {letters, chinese})
    EXPECT_EQ(small_tokenizer().encode(text), encode_whole(small_tokenizer(), text));
}

TEST(TokenizerCut, DependsOnlyOnTheTextNearTheCut) {
  const std::string text = words(4000);
  const TextCut cut = small_tokenizer().find_cut(text);
  const TextCut near = small_tokenizer().find_cut(text.substr(0, kMaxTextPart + kCutContext));
  EXPECT_EQ(cut.at, near.at);
  EXPECT_EQ(cut.next, near.next);
  EXPECT_LE(cut.at, kMaxTextPart);
}

TEST(TokenizerCut, OneCharacterWithoutEndStaysWithinItsParts) {
  const std::string text(3 * kMaxTextPart, 'a');
  EXPECT_EQ(small_tokenizer().decode(small_tokenizer().encode(text)), text);
}

}  // namespace
}  // namespace fathom
