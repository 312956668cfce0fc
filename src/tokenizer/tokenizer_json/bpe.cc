#include "tokenizer/tokenizer_json/bpe.h"

#include <algorithm>
#include <queue>

#include "fathom/base/error.h"
#include "fathom/base/utf8.h"
#include "tokenizer/tokenizer_json/byte_symbols.h"

namespace fathom::tokenizer_json {
namespace {

constexpr size_t kFewSymbols = 48;  // up to here a scan for the next merge beats a heap
constexpr std::string_view kSpaceSign = "\xE2\x96\x81";

uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

std::string byte_token(unsigned byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
}

/// Whether a space comes behind something else.
bool goes_on_after_a_space(std::string_view token) {
  for (size_t at = token.find(kSpaceSign, 1); at != std::string_view::npos;
       at = token.find(kSpaceSign, at + 1)) {
    if (!token.substr(0, at).ends_with(kSpaceSign)) return true;
  }
  return false;
}

/// Two tokens with a space between them, or a list of both. @returns whether it is that
bool read_pair(const nlohmann::json& pair, std::string& left, std::string& right) {
  if (pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string()) {
    left = pair[0].get<std::string>();
    right = pair[1].get<std::string>();
    return true;
  }
  if (!pair.is_string()) return false;
  const auto& text = pair.get_ref<const std::string&>();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) return false;
  left = text.substr(0, space);
  right = text.substr(space + 1);
  return true;
}

}  // namespace

Bpe::Bpe(const Node& model, bool words_are_bytes) : words_are_bytes_(words_are_bytes) {
  model.allow_only({"type", "dropout", "unk_token", "continuing_subword_prefix",
                    "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab",
                    "merges"});
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.text(key, "").empty()) model.at(key).refuse();
  }
  const auto dropout = model.find("dropout");
  if (dropout && dropout->value() != 0.0) dropout->refuse();
  ignore_merges_ = model.boolean("ignore_merges", false);
  byte_fallback_ = model.boolean("byte_fallback", false);
  fuse_unknown_ = model.boolean("fuse_unk", false);
  read_vocabulary(model);
  read_merges(model);
  read_unknown(model);
  parts_at_spaces_ = !words_are_bytes_ && !ignore_merges_ && id_of(kSpaceSign) >= 0 &&
                     std::none_of(ids_.begin(), ids_.end(), [](const auto& entry) {
                       return goes_on_after_a_space(entry.first);
                     });
}

void Bpe::read_vocabulary(const Node& model) {
  const Node vocabulary = model.at("vocab");
  if (!vocabulary.value().is_object()) vocabulary.reject("an object of tokens and their ids");
  ids_.reserve(vocabulary.value().size());
  for (const auto& [token, id] : vocabulary.value().items())
    ids_[token] = token_id(vocabulary, token, id);
  for (unsigned byte = 0; byte < id_of_byte_.size(); ++byte)
    id_of_byte_[byte] = id_of(words_are_bytes_ ? symbol_of_byte(static_cast<unsigned char>(byte))
                                               : byte_token(byte));
}

void Bpe::read_merges(const Node& model) {
  const Node merges = model.at("merges");
  if (!merges.value().is_array()) merges.reject("a list of pairs of tokens");
  merges_.reserve(merges.value().size());
  int32_t rank = 0;
  std::string left, right;
  for (const nlohmann::json& pair : merges.value()) {
    const auto reject = [&](std::string_view allowed) {
      Node(pair, cat(merges.place(), "[", rank, "]")).reject(allowed);
    };
    if (!read_pair(pair, left, right)) reject("two tokens, in a list or with a space between them");
    const int32_t left_id = id_of(left), right_id = id_of(right), id = id_of(left + right);
    if (left_id < 0 || right_id < 0 || id < 0)
      reject("two tokens of model.vocab, which also has what they make together");
    merges_[pair_of(left_id, right_id)] = {rank++, id};
  }
}

void Bpe::read_unknown(const Node& model) {
  const auto unknown = model.find("unk_token");
  if (!unknown) return;
  has_unknown_ = true;
  unknown_ = id_of(unknown->text());
}

int32_t Bpe::id_of(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  return found == ids_.end() ? -1 : found->second;
}

Bpe::Merge Bpe::merge_of(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_of(left, right));
  return found == merges_.end() ? Merge{} : found->second;
}

/// The bytes of a character as <0x..> tokens. @returns false unless the vocabulary has all of them
bool Bpe::append_fallback(std::string_view character, std::vector<int32_t>& symbols) const {
  const size_t before = symbols.size();
  for (const char c : character) {
    const auto byte = static_cast<unsigned char>(c);
    const int32_t id = words_are_bytes_ ? id_of(byte_token(byte)) : id_of_byte_[byte];
    if (id < 0) {
      symbols.resize(before);
      return false;
    }
    symbols.push_back(id);
  }
  return true;
}

std::vector<int32_t> Bpe::symbols_of(std::string_view word) const {
  std::vector<int32_t> symbols;
  symbols.reserve(word.size());
  bool unknown = false;  // one is due: the next known symbol comes after it
  const auto flush = [&] {
    if (unknown) symbols.push_back(unknown_);
    unknown = false;
  };
  for (size_t at = 0; at < word.size();) {
    const size_t end = words_are_bytes_ ? at + 1 : next_character(word, at + 1);
    const auto byte = static_cast<unsigned char>(word[at]);
    const std::string_view character =
        words_are_bytes_ ? symbol_of_byte(byte) : word.substr(at, end - at);
    const int32_t id = words_are_bytes_ ? id_of_byte_[byte] : id_of(character);
    at = end;
    if (id >= 0) {
      flush();
      symbols.push_back(id);
    } else if (!(byte_fallback_ && append_fallback(character, symbols)) && has_unknown_) {
      if (unknown_ < 0)
        throw DataError("the tokenizer needs its model.unk_token, which model.vocab doesn't have");
      if (!fuse_unknown_) flush();
      unknown = true;
    }
  }
  flush();
  return symbols;
}

/// Looks at all pairs for each merge.
void Bpe::merge_few(std::vector<int32_t>& symbols) const {
  std::vector<Merge> merges;  // of each symbol with the next
  for (size_t i = 0; i + 1 < symbols.size(); ++i)
    merges.push_back(merge_of(symbols[i], symbols[i + 1]));
  while (!merges.empty()) {
    const auto first =
        std::min_element(merges.begin(), merges.end(),
                         [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
    if (first->id < 0) return;
    const ptrdiff_t place = first - merges.begin();
    const auto i = static_cast<size_t>(place);
    symbols[i] = first->id;
    symbols.erase(symbols.begin() + place + 1);
    merges.erase(first);
    if (i < merges.size()) merges[i] = merge_of(symbols[i], symbols[i + 1]);
    if (i > 0) merges[i - 1] = merge_of(symbols[i - 1], symbols[i]);
  }
}

/// The same with a heap, for long words.
void Bpe::merge_many(std::vector<int32_t>& symbols) const {
  struct Candidate {
    Merge merge;
    size_t at = 0;
    bool operator<(const Candidate& other) const {
      return std::pair(merge.rank, at) > std::pair(other.merge.rank, other.at);
    }
  };
  const size_t size = symbols.size();
  std::vector<size_t> next(size), previous(size);
  std::priority_queue<Candidate> heap;
  const auto push = [&](size_t at) {
    if (next[at] == size) return;
    const Merge merge = merge_of(symbols[at], symbols[next[at]]);
    if (merge.id >= 0) heap.push({merge, at});
  };
  for (size_t i = 0; i < size; ++i) next[i] = i + 1, previous[i] = i - 1;
  for (size_t i = 0; i + 1 < size; ++i) push(i);
  while (!heap.empty()) {
    const Candidate best = heap.top();
    heap.pop();
    const size_t at = best.at, joined = next[at];
    if (symbols[at] < 0 || joined == size ||
        merge_of(symbols[at], symbols[joined]).id != best.merge.id)
      continue;
    symbols[at] = best.merge.id;
    symbols[joined] = -1;
    next[at] = next[joined];
    if (next[at] < size) previous[next[at]] = at;
    push(at);
    if (at > 0) push(previous[at]);
  }
  std::erase(symbols, -1);
}

void Bpe::encode_part(std::string_view word, std::vector<int32_t>& ids) const {
  if (ignore_merges_) {
    const auto whole = ids_.find(words_are_bytes_ ? symbols_of_bytes(word) : std::string(word));
    if (whole != ids_.end()) return ids.push_back(whole->second);
  }
  std::vector<int32_t> symbols = symbols_of(word);
  if (symbols.size() <= kFewSymbols)
    merge_few(symbols);
  else
    merge_many(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

/// Where merges of a word can't reach over: before a space that follows something else.
size_t Bpe::part_end(std::string_view word) const {
  if (!parts_at_spaces_) return word.size();
  size_t at = 0;
  while (word.substr(at).starts_with(kSpaceSign)) at += kSpaceSign.size();
  return std::min(word.find(kSpaceSign, at), word.size());
}

void Bpe::encode(std::string_view word, WordMemory* memory, std::vector<int32_t>& ids) const {
  while (!word.empty()) {
    const std::string_view part = word.substr(0, part_end(word));
    word.remove_prefix(part.size());
    if (const std::vector<int32_t>* known = memory == nullptr ? nullptr : memory->find(part)) {
      ids.insert(ids.end(), known->begin(), known->end());
      continue;
    }
    const auto before = static_cast<ptrdiff_t>(ids.size());
    encode_part(part, ids);
    if (memory != nullptr) memory->remember(part, {ids.begin() + before, ids.end()});
  }
}

}  // namespace fathom::tokenizer_json
