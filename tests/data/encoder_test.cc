#include "data/encoder.h"

#include "base/test_seed.h"
#include "data/test_data.h"

namespace fathom {
namespace {

using testing::llama_tokenizer_path;
using testing::small_tokenizer;
using testing::words;

/// Texts of everything that could join what shouldn't be: spaces, line breaks, bytes, U+2581.
std::string random_text(std::mt19937& random, size_t size) {
  const std::vector<std::string> parts = {" ",
                                          "  ",
                                          "\n",
                                          "\n\n",
                                          "\t",
                                          "\r\n",
                                          "a",
                                          "an",
                                          "kern",
                                          "nake.",
                                          "1",
                                          "23",
                                          "\xC3\xA9",
                                          "\xE4\xB8\xAD",
                                          "\xF0\x9F\x98\x80",
                                          "<s>",
                                          "<0x0A>",
                                          std::string(1, '\0'),
                                          "=====",
                                          "e\xCC\x81",
                                          std::string(40, 'n')};
  std::string text;
  while (text.size() < size) text += parts[random() % parts.size()];
  return text;
}

void expect_the_same_ids(const Tokenizer& tokenizer) {
  Encoder encoder(tokenizer);
  std::mt19937 random(test_seed());
  for (int i = 0; i < 400; ++i) {
    std::string text = random_text(random, random() % 60);
    if (i % 10 == 0) text += "\xE2\x96\x81 x";
    std::vector<int32_t> ids;
    encoder.encode(text, ids);
    ASSERT_EQ(ids, tokenizer.encode(text)) << text;
    for (const PartStart start : {PartStart::kText, PartStart::kSpace, PartStart::kInside}) {
      std::vector<int32_t> expected;
      ids.clear();
      encoder.encode_part({text, start}, ids);
      tokenizer.encode_part({text, start}, expected);
      ASSERT_EQ(ids, expected) << text;
    }
  }
  const std::string text = words(10000);
  std::vector<int32_t> ids;
  encoder.encode(text, ids);
  EXPECT_EQ(ids, tokenizer.encode(text));
}

TEST(Encoder, GivesTheIdsOfTheTokenizer) { expect_the_same_ids(small_tokenizer()); }

TEST(Encoder, GivesTheIdsOfLlama2) {
  if (llama_tokenizer_path().empty())
    GTEST_SKIP() << "shared/data/llama2_tokenizer.model is missing";
  const Tokenizer tokenizer = Tokenizer::load(llama_tokenizer_path());
  expect_the_same_ids(tokenizer);
}

}  // namespace
}  // namespace fathom
