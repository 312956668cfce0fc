// The files of a tokenizer in a model directory, and what they say to other programs: whether texts
// start with BOS, which ids end one, and who reads them otherwise than Fathom.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/json.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {

/// Token ids with a meaning; not set where the tokenizer has none.
struct SpecialTokens {
  std::optional<int64_t> bos = {};
  std::vector<int64_t> eos = {};  ///< some models end a text in several ways
  std::optional<int64_t> pad = {};
};

/// The content of a tokenizer's files, by name, which may be that of a folder and a file in it.
using TokenizerFiles = std::map<std::string, std::string>;

/// A SentencePiece model as tokenizer.model, tokenizer.json and tokenizer_config.json. transformers
/// then tokenizes as SentencePiece does, and adds BOS where it is asked to. (It can read
/// tokenizer.model by itself, but transformers 5 takes every model for BPE.) A model of whole words
/// has no tokenizer.json that says the same: there is only tokenizer.model.
/// @param tokenizer_model content of a .model file
/// @param add_bos each text starts with tokens.bos
/// @throws CheckpointError if it isn't one
TokenizerFiles sentencepiece_files(std::string_view tokenizer_model, const SpecialTokens& tokens,
                                   int64_t max_length, bool add_bos = false);

/// What to say of a SentencePiece model before it is trained with or exported: which programs will
/// read it otherwise than Fathom.
/// @param name of the file, for the text
std::vector<std::string> tokenizer_warnings(std::string_view tokenizer_model,
                                            const std::string& name);

/// Makes transformers put BOS before each text, or not: tokenizer_config.json says so, and
/// tokenizer.json where there is one.
/// @param bos its content
/// @throws CheckpointError if a file isn't JSON
void set_adds_bos(TokenizerFiles& files, bool adds_bos, const std::string& bos, int64_t id);

/// The ids that end a text when transformers generates: those of generation_config.json, or where
/// there is no such file of config.json.
/// @throws CheckpointError if a file can't be read
std::vector<int64_t> read_ends(const std::filesystem::path& directory);

/// Keys of generation_config.json that change what transformers generates, and that Fathom doesn't
/// follow. @throws CheckpointError if the file can't be read
std::vector<std::string> unfollowed_generation_keys(const std::filesystem::path& directory);

/// The ids of a key: none, one or a list. Some releases write -1 for none.
/// @throws std::invalid_argument for anything else
std::vector<int64_t> read_token_ids(const Json& config, const char* key);

/// The tokenizer's files in a model directory, chat templates and those of tokenizers that Fathom
/// doesn't run among them, and its generation_config.json: what is carried along unchanged.
/// @throws DiskError
TokenizerFiles read_tokenizer_files(const std::filesystem::path& directory);

/// The file of a model directory that decides its ids: tokenizer.model or else tokenizer.json. A
/// tokenizer.model of tiktoken's makes way for a tokenizer.json: it doesn't say how text is
/// divided.
/// @returns an empty path if there is neither
std::filesystem::path find_tokenizer(const std::filesystem::path& directory);

/// "" for a directory with a tokenizer, or else what to do, by what lies there instead.
std::string missing_tokenizer(const std::filesystem::path& directory);

/// The tokenizer of a model directory. @throws CheckpointError if it has none; DataError
Tokenizer load_tokenizer(const std::filesystem::path& directory);

}  // namespace fathom
