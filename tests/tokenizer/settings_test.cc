#include "tokenizer/settings.h"

#include <gmock/gmock.h>

#include "base/temporary_folder.h"
#include "data/test_data.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using testing::data_error;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

TokenizerSettings with(const std::string& name, const std::string& content) {
  const TemporaryFolder folder;
  folder.write(name, content);
  const auto settings = read_tokenizer_settings(folder / "tokenizer.model");
  EXPECT_TRUE(settings);
  return settings.value_or(TokenizerSettings{});
}

std::string error_with(const std::string& name, const std::string& content) {
  return data_error([&] { with(name, content); });
}

TEST(TokenizerSettings, NameFileAndPlaceOfWhatIsWrong) {
  EXPECT_THAT(error_with("tokenizer_config.json", R"({"eos_token": {"content": 3}})"),
              AllOf(HasSubstr("tokenizer_config.json: eos_token is {\"content\":3}"),
                    HasSubstr("allowed: a token's text")));
  EXPECT_THAT(error_with("tokenizer_config.json", R"({"added_tokens_decoder": {"7": {}}})"),
              HasSubstr("tokenizer_config.json: added_tokens_decoder.7 is {}"));
  EXPECT_THAT(error_with("tokenizer_config.json", R"({"added_tokens_decoder": {"x": "<x>"}})"),
              HasSubstr("added_tokens_decoder: a key is \"x\"; allowed: a token id"));
  EXPECT_THAT(error_with("added_tokens.json", R"({"<x>": "1000"})"),
              HasSubstr("added_tokens.json: <x> is \"1000\"; allowed: a token id"));
  EXPECT_THAT(error_with("tokenizer_config.json", "{"),
              AllOf(HasSubstr("tokenizer_config.json isn't JSON: parse error"),
                    Not(HasSubstr("json.exception"))));
}

std::string json_with(const std::string& processor) {
  return R"({"model": {"type": "BPE", "vocab": {}, "merges": []}, "post_processor": )" + processor +
         "}";
}

// What transformers does with such files: its ids of a text begin with that token.
TEST(TokenizerSettings, KnowTheTokenThatTokenizerJsonPutsBeforeATextWhateverItsForm) {
  for (const char* processor :
       {R"({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]})",
        R"({"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]})",
        R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]})"}) {
    const TokenizerSettings settings = with("tokenizer.json", json_with(processor));
    EXPECT_TRUE(settings.adds_bos) << processor;
    EXPECT_EQ(settings.special.at("bos_token"), "<s>") << processor;
  }
  EXPECT_FALSE(with("tokenizer.json", json_with(R"({"type": "ByteLevel"})")).adds_bos);
}

TEST(TokenizerSettings, CountAConfigJsonAsWellWhereItSaysTheModelsType) {
  EXPECT_TRUE(with("config.json", R"({"model_type": "llama"})").only_model_type);
  const TemporaryFolder folder;
  folder.write("config.json", "{}");
  EXPECT_FALSE(read_tokenizer_settings(folder / "tokenizer.model"));
  folder.write("config.json", R"({"model_type": "llama"})");
  EXPECT_FALSE(read_tokenizer_settings(folder / "tokenizer.json"));
  EXPECT_FALSE(read_tokenizer_settings(folder / "other.model"));
}

}  // namespace
}  // namespace fathom
