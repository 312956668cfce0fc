// The vocabulary of a Hugging Face tokenizer.json: how many ids there are, and the special ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace fathom {

struct JsonVocabulary {
  int64_t size = 0;  ///< largest id + 1
  std::optional<int32_t> bos, eos, unk, pad;
};

/// @param text content of a tokenizer.json
/// @param path where it lies: tokenizer_config.json beside it names the special tokens
/// @throws DataError if it isn't one
JsonVocabulary read_json_vocabulary(const std::string& text, const std::filesystem::path& path);

}  // namespace fathom
