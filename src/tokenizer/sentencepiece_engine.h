// SentencePiece models behind the class Tokenizer.
#pragma once

#include <sentencepiece_processor.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/engine.h"
#include "tokenizer/sentencepiece_model.h"

namespace fathom {

class SentencePieceEngine : public TokenizerEngine {
 public:
  /// @param bytes the file's content, which is checked first
  /// @param name the path, for messages
  /// @throws DataError if it isn't a model that is safe to use
  SentencePieceEngine(const std::string& bytes, const std::string& name);

  /// Whether it puts a space before a text.
  bool puts_space() const { return puts_space_; }
  /// The pieces that aren't parts of words.
  const std::vector<MarkedPiece>& marked() const { return marked_; }
  /// What an id stands for that isn't text, but a byte.
  std::optional<char> byte_of(int32_t id) const;
  /// The text of ids that don't stand at the start of a text, or do.
  std::string decode_part(std::span<const int32_t> ids, PartStart start) const;

  bool is_sentencepiece() const override { return true; }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  void encode(const TextPart& part, WordMemory* words, std::vector<int32_t>& ids) const override;
  std::string decode(std::span<const int32_t> ids) const override {
    return decode_part(ids, PartStart::kText);
  }
  std::string piece(int32_t id) const override;

 private:
  const sentencepiece::SentencePieceProcessor& processor(PartStart start) const;
  void encode_whole(const TextPart& part, std::vector<int32_t>& ids) const;
  void encode_word(std::string_view word, WordMemory& words, std::vector<int32_t>& ids) const;

  SentencePieceEngine(const std::string& bytes, const std::string& name,
                      const SentencePieceModel& model);
  std::string name_;
  bool puts_space_, independent_words_;
  std::vector<MarkedPiece> marked_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> with_prefix_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> without_prefix_;
  Vocabulary vocabulary_;
};

}  // namespace fathom
