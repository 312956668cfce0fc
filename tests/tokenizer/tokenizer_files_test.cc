#include "fathom/tokenizer/tokenizer_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temporary_folder.h"
#include "fathom/base/error.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

TEST(TokenizerFiles, AreThoseOfAnyTokenizerWithAllChatTemplates) {
  const TemporaryFolder folder;
  for (const char* name :
       {"tokenizer.json", "chat_template.jinja", "chat_template.json", "spiece.model",
        "tekken.json", "qwen.tiktoken", "additional_chat_templates/tool_use.jinja",
        "additional_chat_templates/x.md", "additional_chat_templates/rag.jinja",
        "model.safetensors", "README.md"})
    folder.write(name, name);
  std::vector<std::string> names;
  for (const auto& [name, content] : read_tokenizer_files(folder.path())) {
    EXPECT_EQ(content, name);
    names.push_back(name);
  }
  EXPECT_THAT(names, ElementsAre("additional_chat_templates/rag.jinja",
                                 "additional_chat_templates/tool_use.jinja", "chat_template.jinja",
                                 "chat_template.json", "qwen.tiktoken", "spiece.model",
                                 "tekken.json", "tokenizer.json"));
}

TEST(MissingTokenizer, SaysWhatToDoWithWhatLiesThereInstead) {
  const auto said = [](const std::vector<std::string>& names) {
    const TemporaryFolder folder;
    for (const std::string& name : names) folder.write(name, "x");
    return missing_tokenizer(folder.path());
  };
  EXPECT_EQ(said({"tokenizer.json", "spiece.model"}), "");
  EXPECT_EQ(said({"tokenizer.model"}), "");
  EXPECT_THAT(said({}), HasSubstr("tokenizer.json; copy the model's tokenizer there"));
  EXPECT_THAT(said({"spiece.model", "vocab.json"}), HasSubstr("/spiece.model "));
  EXPECT_THAT(said({"spiece.model"}), HasSubstr("/tokenizer.model"));
  for (const std::string name : {"tekken.json", "vocab.json", "qwen.tiktoken"})
    EXPECT_THAT(said({name}), HasSubstr("transformers makes tokenizer.json of " + name + " there"));
}

TEST(GenerationKeys, AreNamedWhereTheySaySomethingThatIsNotFollowed) {
  const TemporaryFolder folder;
  const auto keys = [&](const char* json) {
    folder.write("generation_config.json", json);
    return unfollowed_generation_keys(folder.path());
  };
  EXPECT_THAT(unfollowed_generation_keys(folder.path()), ElementsAre());
  EXPECT_THAT(keys(R"({"bos_token_id": 1, "eos_token_id": [2, 3], "_from_model_config": true,
                       "do_sample": true, "temperature": 0.6, "top_p": 0.9, "num_beams": 1,
                       "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_p": null,
                       "suppress_tokens": [], "transformers_version": "5.0.0"})"),
              ElementsAre());
  EXPECT_THAT(keys(R"({"repetition_penalty": 1.3, "suppress_tokens": [5], "top_k": 20,
                       "forced_bos_token_id": 1})"),
              ElementsAre("repetition_penalty", "suppress_tokens", "top_k", "forced_bos_token_id"));
  EXPECT_THROW(keys("{"), CheckpointError);
}

}  // namespace
}  // namespace fathom
