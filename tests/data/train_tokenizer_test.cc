#include "fathom/data/train_tokenizer.h"

#include "data/test_data.h"
#include "fathom/data/find_files.h"

namespace fathom {
namespace {

using testing::data_error;
using testing::read_bytes;
using testing::TemporaryFolder;
using testing::words;

const StopFlag kNoStop;

TokenizerOptions options_of(const std::string& type, int64_t vocab_size = 320) {
  TokenizerOptions options;
  options.type = type;
  options.vocab_size = vocab_size;
  return options;
}

TEST(TrainTokenizer, MakesUnigramAndBpeModelsThatGiveTextBack) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.txt", words(500));
  for (const std::string type : {"unigram", "bpe"}) {
    const Tokenizer tokenizer = train_tokenizer(find_files({path}), options_of(type, 300),
                                                folder / "t.model", nullptr, kNoStop);
    EXPECT_EQ(tokenizer.vocab_size(), 300);
    EXPECT_EQ(tokenizer.unk_id(), 0);
    EXPECT_EQ(tokenizer.bos_id(), 1);
    EXPECT_EQ(tokenizer.eos_id(), 2);
    const std::string text = "  kern\n\tnake \xE4\xB8\xAD 12 ";
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
    EXPECT_LT(tokenizer.encode(words(20)).size(), words(20).size() / 2) << "it has learned words";
    EXPECT_EQ(Tokenizer::load(folder / "t.model").checksum(), tokenizer.checksum());
  }
}

TEST(TrainTokenizer, ThePadPieceIsOptional) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.txt", words(500));
  TokenizerOptions options = options_of("bpe", 300);
  options.pad = true;
  EXPECT_EQ(
      train_tokenizer(find_files({path}), options, folder / "t.model", nullptr, kNoStop).pad_id(),
      3);
}

TEST(TrainTokenizer, TheSameTextGivesTheSameModel) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.txt", words(500));
  for (const std::string name : {"1.model", "2.model"})
    train_tokenizer(find_files({path}), options_of("unigram", 300), folder / name, nullptr,
                    kNoStop);
  EXPECT_EQ(read_bytes(folder / "1.model"), read_bytes(folder / "2.model"));
}

TEST(TrainTokenizer, LooksAtASampleOfMuchText) {
  const TemporaryFolder folder;
  // The second half of the text is in capitals; an even sample knows both.
  std::string other = words(3000, 2);
  for (char& c : other) c = c >= 'a' && c <= 'z' ? static_cast<char>(c ^ 0x20) : c;
  const std::string path = folder.write("a.txt", words(3000) + other);
  TokenizerOptions options = options_of("bpe", 330);
  options.sample_bytes = 40000;
  const Tokenizer tokenizer =
      train_tokenizer(find_files({path}), options, folder / "t.model", nullptr, kNoStop);
  EXPECT_LT(tokenizer.encode(words(20)).size(), words(20).size() * 2 / 3);
  EXPECT_LT(tokenizer.encode(other.substr(0, 500)).size(), 500U * 2 / 3);
}

TEST(TrainTokenizer, TextWithoutLineBreaksIsUsedToo) {
  const TemporaryFolder folder;
  std::string text = words(500);
  std::replace(text.begin(), text.end(), '\n', ' ');
  const std::string path = folder.write("a.txt", text);
  EXPECT_NO_THROW(train_tokenizer(find_files({path}), options_of("bpe", 300), folder / "t.model",
                                  nullptr, kNoStop));
}

TEST(TrainTokenizer, SaysWhenTheTextHasTooLittleForTheVocabulary) {
  const TemporaryFolder folder;
  const std::string path = folder.write("few.txt", "kern nake kern\n");
  for (const std::string type : {"unigram", "bpe"}) {
    const std::string error = data_error([&] {
      train_tokenizer(find_files({path}), options_of(type, 5000), folder / "t.model", nullptr,
                      kNoStop);
    });
    EXPECT_NE(error.find("can't make a tokenizer of 5000 pieces"), std::string::npos) << error;
    EXPECT_NE(error.find("few.txt"), std::string::npos) << error;
    EXPECT_FALSE(std::filesystem::exists(folder / "t.model"));
  }
  const std::string empty = folder.write("empty.txt", " \n\n");
  EXPECT_NE(data_error([&] {
              train_tokenizer(find_files({empty}), options_of("bpe"), folder / "t.model", nullptr,
                              kNoStop);
            }).find("there is no text"),
            std::string::npos);
}

TEST(TrainTokenizer, RefusesOptionsOutOfBounds) {
  const TemporaryFolder folder;
  const auto files = find_files({folder.write("a.txt", words(50))});
  const auto refused = [&](const TokenizerOptions& options) {
    EXPECT_THROW(train_tokenizer(files, options, folder / "t.model", nullptr, kNoStop),
                 ConfigError);
  };
  refused(options_of("words"));
  refused(options_of("bpe", 259));
  refused(options_of("bpe", 1000001));
  TokenizerOptions options = options_of("bpe");
  options.character_coverage = 1.5;
  refused(options);
  options = options_of("bpe");
  options.sample_bytes = 0;
  refused(options);
}

TEST(TrainTokenizer, AnOutputThatCantBeWrittenIsKnownBeforeTheWork) {
  const TemporaryFolder folder;
  const auto files = find_files({folder.write("a.txt", words(50))});
  EXPECT_THROW(train_tokenizer(files, options_of("bpe"), folder / "none/t.model", nullptr, kNoStop),
               DiskError);
}

}  // namespace
}  // namespace fathom
