#include "data/encoder.h"

#include <algorithm>

namespace fathom {
namespace {

constexpr size_t kMaxWords = size_t{1} << 16;  // some 8 MB
constexpr size_t kMaxWordBytes = 32;           // longer ones hardly come back

/// The space that SentencePiece writes for ' '. Where a text has it itself, words aren't told apart
/// by ' ' alone.
constexpr std::string_view kSpacePiece = "\xE2\x96\x81";

/// The end of the first word: spaces, then something else up to a space or a line break; or a run
/// of line breaks.
size_t word_end(std::string_view text) {
  size_t end = text.find_first_not_of('\n');
  if (end != 0) return std::min(end, text.size());
  end = text.find_first_not_of(' ');
  return std::min(text.find_first_of(" \n", end), text.size());
}

}  // namespace

void Encoder::encode(std::string_view text, std::vector<int32_t>& ids) {
  for (const TextPart& part : tokenizer_.parts(text)) encode_part(part, ids);
}

void Encoder::encode_part(const TextPart& part, std::vector<int32_t>& ids) {
  std::string_view rest = part.text;
  if (!tokenizer_.has_independent_words() || rest.find(kSpacePiece) != std::string_view::npos) {
    tokenizer_.encode_part(part, ids);
    return;
  }
  // Only the first word has a start of its own.
  size_t end = word_end(rest);
  tokenizer_.encode_part({rest.substr(0, end), part.start}, ids);
  while (end < rest.size()) {
    rest.remove_prefix(end);
    end = word_end(rest);
    encode_word(rest.substr(0, end), ids);
  }
}

void Encoder::encode_word(std::string_view word, std::vector<int32_t>& ids) {
  if (const auto found = words_.find(word); found != words_.end()) {
    ids.insert(ids.end(), found->second.begin(), found->second.end());
    return;
  }
  std::vector<int32_t> encoded;
  tokenizer_.encode_part({word, PartStart::kInside}, encoded);
  ids.insert(ids.end(), encoded.begin(), encoded.end());
  if (word.size() <= kMaxWordBytes && words_.size() < kMaxWords)
    words_.emplace(word, std::move(encoded));
}

}  // namespace fathom
