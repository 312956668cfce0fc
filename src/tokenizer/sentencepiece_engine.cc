#include "tokenizer/sentencepiece_engine.h"

#include <algorithm>
#include <cstdlib>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using sentencepiece::SentencePieceProcessor;

/// The space that SentencePiece writes for ' '. Where a text has it itself, words aren't told apart
/// by ' ' alone.
constexpr std::string_view kSpacePiece = "\xE2\x96\x81";

/// The one place where SentencePiece's status is looked at: it isn't [[nodiscard]].
void check_status(const sentencepiece::util::Status& status, const std::string& name) {
  if (!status.ok()) throw DataError(cat(name, ": SentencePiece: ", status.message()));
}

std::unique_ptr<SentencePieceProcessor> load_processor(const std::string& model,
                                                       const std::string& name) {
  auto processor = std::make_unique<SentencePieceProcessor>();
  check_status(processor->LoadFromSerializedProto(model), name);
  return processor;
}

std::optional<int32_t> if_present(int id) { return id < 0 ? std::nullopt : std::optional(id); }

/// The end of the first word: spaces, then something else up to a space or a line break; or a run
/// of line breaks.
size_t word_end(std::string_view text) {
  size_t end = text.find_first_not_of('\n');
  if (end != 0) return std::min(end, text.size());
  end = text.find_first_not_of(' ');
  return std::min(text.find_first_of(" \n", end), text.size());
}

}  // namespace

SentencePieceEngine::SentencePieceEngine(const std::string& bytes, const std::string& name)
    : SentencePieceEngine(bytes, name, parse_sentencepiece_model(bytes, name)) {}

SentencePieceEngine::SentencePieceEngine(const std::string& bytes, const std::string& name,
                                         const SentencePieceModel& model)
    : name_(name),
      puts_space_(model.add_dummy_prefix),
      independent_words_(has_independent_words(model)),
      marked_(marked_pieces(model)),
      with_prefix_(load_processor(with_dummy_prefix(bytes, true), name)),
      without_prefix_(load_processor(with_dummy_prefix(bytes, false), name)) {
  vocabulary_ = {.size = static_cast<int64_t>(model.pieces.size()),
                 .bos = if_present(with_prefix_->bos_id()),
                 .eos = if_present(with_prefix_->eos_id()),
                 .unk = if_present(with_prefix_->unk_id()),
                 .pad = if_present(with_prefix_->pad_id())};
}

/// Where the model allows, an order of magnitude faster with a memory for words: in a BPE model
/// whose pieces never go on after a word's end, the ids of a word don't depend on what is around
/// it. Unigram models sum scores over the whole text, in float: there the ids of a word may
/// depend on its place, and each text goes to SentencePiece.
void SentencePieceEngine::encode(const TextPart& part, WordMemory* words,
                                 std::vector<int32_t>& ids) const {
  std::string_view rest = part.text;
  if (words == nullptr || !independent_words_ || rest.find(kSpacePiece) != std::string_view::npos)
    return encode_whole(part, ids);
  // Only the first word has a start of its own.
  size_t end = word_end(rest);
  encode_whole({rest.substr(0, end), part.start}, ids);
  while (end < rest.size()) {
    rest.remove_prefix(end);
    end = word_end(rest);
    encode_word(rest.substr(0, end), *words, ids);
  }
}

std::string SentencePieceEngine::decode_part(std::span<const int32_t> ids, PartStart start) const {
  std::string text;
  check_status(processor(start).Decode(std::vector<int>(ids.begin(), ids.end()), &text), name_);
  return text;
}

std::optional<char> SentencePieceEngine::byte_of(int32_t id) const {
  if (!with_prefix_->IsByte(id)) return std::nullopt;
  const std::string name = piece(id);  // "<0x0A>"
  return static_cast<char>(std::strtoul(name.c_str() + 1, nullptr, 16));
}

std::string SentencePieceEngine::piece(int32_t id) const { return with_prefix_->IdToPiece(id); }

const SentencePieceProcessor& SentencePieceEngine::processor(PartStart start) const {
  const bool prefix = start == PartStart::kText ? puts_space_ : start == PartStart::kSpace;
  return prefix ? *with_prefix_ : *without_prefix_;
}

void SentencePieceEngine::encode_whole(const TextPart& part, std::vector<int32_t>& ids) const {
  std::vector<int> encoded;
  check_status(processor(part.start).Encode(part.text, &encoded), name_);
  ids.insert(ids.end(), encoded.begin(), encoded.end());
}

void SentencePieceEngine::encode_word(std::string_view word, WordMemory& words,
                                      std::vector<int32_t>& ids) const {
  if (const std::vector<int32_t>* known = words.find(word)) {
    ids.insert(ids.end(), known->begin(), known->end());
    return;
  }
  std::vector<int32_t> encoded;
  encode_whole({word, PartStart::kInside}, encoded);
  ids.insert(ids.end(), encoded.begin(), encoded.end());
  words.remember(word, std::move(encoded));
}

}  // namespace fathom
