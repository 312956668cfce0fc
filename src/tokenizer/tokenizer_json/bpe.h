// Byte pair encoding as tokenizer.json's model "BPE" does it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fathom/tokenizer/internal/word_memory.h"
#include "tokenizer/tokenizer_json/node.h"
#include "tokenizer/tokenizer_json/vocabulary.h"

namespace fathom::tokenizer_json {

/// May be called from several threads.
class Bpe {
 public:
  Bpe() = default;
  /// @param model "model"
  /// @param words_are_bytes words are bytes, for each of which the vocabulary has a symbol
  /// @throws Unsupported; std::invalid_argument
  Bpe(const Node& model, bool words_are_bytes);

  /// Appends the ids of a word.
  /// @param memory where ids of words are looked up and kept; null: none
  void encode(std::string_view word, WordMemory* memory, std::vector<int32_t>& ids) const;

 private:
  struct Merge {
    int32_t rank = INT32_MAX;
    int32_t id = -1;
  };
  struct Hash {
    size_t operator()(uint64_t pair) const { return pair * 0x9E3779B97F4A7C15U >> 16; }
  };

  void read_vocabulary(const Node& model);
  void read_merges(const Node& model);
  void read_unknown(const Node& model);
  int32_t id_of(std::string_view token) const;
  Merge merge_of(int32_t left, int32_t right) const;

  std::vector<int32_t> symbols_of(std::string_view word) const;
  bool append_fallback(std::string_view character, std::vector<int32_t>& symbols) const;
  void merge_few(std::vector<int32_t>& symbols) const;
  void merge_many(std::vector<int32_t>& symbols) const;
  void encode_part(std::string_view word, std::vector<int32_t>& ids) const;
  size_t part_end(std::string_view word) const;

  bool words_are_bytes_ = false;
  bool ignore_merges_ = false;
  bool byte_fallback_ = false;
  bool fuse_unknown_ = false;
  bool has_unknown_ = false;
  bool parts_at_spaces_ = false;
  int32_t unknown_ = -1;
  std::array<int32_t, 256> id_of_byte_{};  // of its symbol, or else of <0x0A>; -1: there is none
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<uint64_t, Merge, Hash> merges_;
};

}  // namespace fathom::tokenizer_json
