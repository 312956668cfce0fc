// A tokenizer with a memory: most words of a text have been seen before.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "fathom/tokenizer/internal/word_memory.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {

/// Gives the ids of Tokenizer::encode, an order of magnitude faster where the ids of a word don't
/// depend on what is around it, so that they can be remembered: in BPE. For one thread.
class Encoder {
 public:
  explicit Encoder(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}

  /// Appends the ids of a whole text.
  void encode(std::string_view text, std::vector<int32_t>& ids) {
    for (const TextPart& part : tokenizer_.parts(text)) encode_part(part, ids);
  }
  /// Appends the ids of a part of a text.
  void encode_part(const TextPart& part, std::vector<int32_t>& ids) {
    tokenizer_.encode_part(part, ids, &words_);
  }

 private:
  Tokenizer tokenizer_;
  WordMemory words_;
};

}  // namespace fathom
