// Text to token ids and back, by a SentencePiece model or a Hugging Face tokenizer.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/log.h"

namespace fathom {

class WordMemory;

/// Longest part of a text; a SentencePiece model is given no longer ones (Tokenizer::find_cut).
inline constexpr size_t kMaxTextPart = size_t{64} << 10;
/// Bytes of text on each side of a cut that decide where it goes.
inline constexpr size_t kCutContext = 256;

/// What a part of a text starts with. SentencePiece puts a space before each text it is given
/// (`add_dummy_prefix`), which must not happen in the middle of a text, or stands for the space
/// that was there.
enum class PartStart {
  kText,   ///< the start of the text: as the model's file says
  kSpace,  ///< the part starts with a space that the model drops and puts back
  kInside  ///< nothing is added
};

/// Where a part ends, and what the next one starts with.
struct TextCut {
  size_t at = 0;
  PartStart next = PartStart::kInside;
};

/// A part of a text, and what it starts with.
struct TextPart {
  std::string_view text;
  PartStart start = PartStart::kText;
};

/// A loaded SentencePiece model or tokenizer.json. Copies share it; all methods may be called from
/// several threads.
class Tokenizer {
 public:
  /// @param path a SentencePiece model, or a Hugging Face tokenizer, which ends in .json
  /// @throws DataError if the file is missing, or isn't a model that is safe to use
  static Tokenizer load(const std::filesystem::path& path);
  /// A model that lies in memory.
  /// @param name for messages
  static Tokenizer from_bytes(std::string bytes, const std::string& name);

  /// Whether it can turn text into ids and back: not where a tokenizer.json asks for what Fathom
  /// doesn't have.
  bool handles_text() const;
  /// @throws DataError that says what to do instead, unless it handles text; so do all methods that
  /// take or give text
  void require_text() const;
  /// Whether the file is a SentencePiece model, not a tokenizer.json.
  bool is_sentencepiece() const;

  /// Whether no files of Hugging Face's (tokenizer_config.json, ...) lie beside its file. Only a
  /// tokenizer.model or tokenizer.json has them; what they say of added tokens holds for its ids.
  bool stands_alone() const;
  /// Whether those files say that each text starts with BOS.
  bool adds_bos() const;

  /// A warning for who uses it on text: its ids aren't those that its file alone gives, or not
  /// those of transformers. Empty where there is nothing to say.
  std::string note() const;

  /// Token ids of a text of any length; BOS and EOS are not added. Invalid UTF-8 becomes U+FFFD.
  /// A text of more than kMaxTextPart bytes (1 MiB with a tokenizer.json) is encoded in parts (see
  /// find_cut).
  std::vector<int32_t> encode(std::string_view text) const;
  /// @throws DataError if an id isn't in the vocabulary
  std::string decode(std::span<const int32_t> ids) const;

  /// Chooses where to cut a long text within its first kMaxTextPart bytes, so that the ids of the
  /// parts are those of the whole. Tries the last places where a space or a line break follows
  /// something else, and takes the first where encoding kCutContext bytes on both sides together
  /// and apart gives the same ids; then the last where a word begins that the model sees on its
  /// own, which a tokenizer.json says; then, as before, between any two characters. A text that has
  /// no such place near the end of the part is cut between its last two characters.
  /// @param text valid UTF-8 of more than kMaxTextPart bytes; what lies beyond kMaxTextPart +
  /// kCutContext has no influence
  TextCut find_cut(std::string_view text) const;
  /// A text of any length in the parts that `encode` makes of it.
  std::vector<TextPart> parts(std::string_view text) const;
  /// Appends the ids of a part.
  /// @param words what Encoder remembers
  void encode_part(const TextPart& part, std::vector<int32_t>& ids,
                   WordMemory* words = nullptr) const;

  int64_t vocab_size() const;
  /// Whether an id of a model, which may have more, is in the vocabulary.
  bool has_piece(int64_t id) const;
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> unk_id() const;
  std::optional<int32_t> pad_id() const;
  /// The piece of an id, with U+2581 for a space. @throws DataError if it isn't in the vocabulary
  std::string piece(int32_t id) const;

  /// SHA-256, as hex, of the file and of what the files beside it change: two tokenizers with one
  /// checksum give the same ids.
  const std::string& checksum() const;
  /// The model file's content, for a checkpoint that carries it.
  const std::string& bytes() const;
  /// Path that it was loaded from, for messages.
  const std::string& name() const;

 private:
  struct State;
  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  void require_id(int32_t id) const;

  std::shared_ptr<const State> state_;
};

/// A vocabulary that doesn't fit would read past the embedding.
/// @throws ConfigError naming model.vocab_size if the tokenizer has more pieces than the model
void check_vocabulary(const Tokenizer& tokenizer, int64_t model_vocab_size);
/// Likewise for the tokenizer of a model directory. @throws CheckpointError
void check_fits(const Tokenizer& tokenizer, int64_t model_vocab_size);

/// Says a tokenizer's note.
void warn_of_ids(const Tokenizer& tokenizer, const Log& log);

}  // namespace fathom
