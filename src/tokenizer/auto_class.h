// Which tokenizer transformers 5 makes of a directory: the choice of its AutoTokenizer.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace fathom {

/// What a class of transformers obeys of the files of a tokenizer.
enum class BuiltAs {
  kFile,   ///< TokenizersBackend: tokenizer.json, or else tokenizer.model without its rules on
           ///< spaces
  kLlama,  ///< the vocabulary as BPE, with Llama's rules on spaces
  kGemma,  ///< the vocabulary as BPE, a space is a space
  kOther   ///< a class that Fathom doesn't follow
};

struct AutoClass {
  std::string name;
  BuiltAs built_as = BuiltAs::kFile;
};

/// @param named tokenizer_class of tokenizer_config.json, or else of config.json; may be empty
/// @param model_type of config.json; may be empty
/// @param has_byte_level tokenizer.json names "ByteLevel"
/// @see transformers 5.23, AutoTokenizer.from_pretrained, without remote code
AutoClass auto_class(std::string named, const std::string& model_type, bool has_byte_level);

/// Changes a tokenizer.json of BPE as the class does that takes no more than its vocabulary.
/// @param scheme of kLlama's Metaspace
void rebuild(BuiltAs built_as, const std::string& scheme, nlohmann::json& tokenizer);

}  // namespace fathom
