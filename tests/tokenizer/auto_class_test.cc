#include "tokenizer/auto_class.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

std::string name(const std::string& named, const std::string& model_type,
                 bool has_byte_level = false) {
  return auto_class(named, model_type, has_byte_level).name;
}

// Names from transformers 5.23's AutoTokenizer on directories with these keys.
TEST(AutoClass, IsTheNamedOneWhereTheModelTypeHasNoOther) {
  EXPECT_EQ(name("LlamaTokenizer", "llama"), "LlamaTokenizer");
  EXPECT_EQ(name("LlamaTokenizerFast", ""), "LlamaTokenizer");
  EXPECT_EQ(name("GemmaTokenizer", "llama"), "GemmaTokenizer");
  EXPECT_EQ(name("LlamaTokenizer", "gemma"), "LlamaTokenizer");
  EXPECT_EQ(name("LlamaTokenizer", "qwen3"), "LlamaTokenizer");
  EXPECT_EQ(name("PreTrainedTokenizerFast", "llama"), "TokenizersBackend");
}

TEST(AutoClass, IsTheModelTypesWhereNoneIsNamedOrReleasesNameAWrongOne) {
  EXPECT_EQ(name("", "llama"), "TokenizersBackend");
  EXPECT_EQ(name("", "gemma"), "GemmaTokenizer");
  EXPECT_EQ(name("LlamaTokenizer", "mistral"), "TokenizersBackend");
  EXPECT_EQ(name("LlamaTokenizer", "olmo2"), "TokenizersBackend");
  EXPECT_EQ(name("LlamaTokenizer", "qwen2"), "Qwen2Tokenizer");
  EXPECT_EQ(name("LlamaTokenizer", "phi3"), "TokenizersBackend");
}

TEST(AutoClass, TakesAByteLevelFileAsItIsWhateverLlamaIsNamed) {
  EXPECT_EQ(name("LlamaTokenizerFast", "llama", true), "TokenizersBackend");
  EXPECT_EQ(auto_class("LlamaTokenizerFast", "llama", true).built_as, BuiltAs::kFile);
  EXPECT_EQ(name("GemmaTokenizer", "llama", true), "GemmaTokenizer");
}

}  // namespace
}  // namespace fathom
