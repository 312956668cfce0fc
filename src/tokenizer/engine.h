// What a kind of tokenizer file brings to the class Tokenizer: one class for each kind.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/tokenizer/internal/word_memory.h"
#include "fathom/tokenizer/tokenizer.h"

namespace fathom {

/// How many ids there are, and the special ones.
struct Vocabulary {
  int64_t size = 0;  ///< largest id + 1
  std::optional<int32_t> bos, eos, unk, pad;
};

/// All methods may be called from several threads.
class TokenizerEngine {
 public:
  virtual ~TokenizerEngine() = default;

  /// Why it can't turn text into ids and back; empty if it can.
  virtual std::string refusal() const { return ""; }
  /// Whether its file is a SentencePiece model.
  virtual bool is_sentencepiece() const { return false; }
  virtual const Vocabulary& vocabulary() const = 0;
  /// What its user should know of whose ids these are; empty: nothing.
  virtual std::string note() const { return ""; }

  /// What beside its file's content decides its ids; empty: nothing.
  virtual std::string distinction() const { return ""; }

  /// Appends the ids of a part.
  /// @param words of this engine, where ids of words are looked up and kept; null: none
  virtual void encode(const TextPart& part, WordMemory* words, std::vector<int32_t>& ids) const = 0;
  /// @param ids all of them in the vocabulary
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  /// Empty where there is none between the first id and the last.
  /// @param id in the vocabulary
  virtual std::string piece(int32_t id) const = 0;

  /// Bytes of text that it encodes at once.
  virtual size_t longest_text() const { return kMaxTextPart; }
  /// The last place from `begin` to before `end` where a text can be cut for sure: a word begins
  /// there that the model sees on its own. Nothing where there is none, or it isn't known.
  /// @param text from the start of its part
  virtual std::optional<size_t> last_word_start(std::string_view /*text*/, size_t /*begin*/,
                                                size_t /*end*/) const {
    return std::nullopt;
  }
};

}  // namespace fathom
