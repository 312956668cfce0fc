#include "tokenizer/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "fathom/base/utf8.h"

namespace fathom {
namespace {

struct Character {
  utf8proc_int32_t code = 0;
  size_t bytes = 0;  ///< 0: there is none
};

Character first_character(std::string_view text) {
  Character first;
  const auto bytes = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                      static_cast<utf8proc_ssize_t>(text.size()), &first.code);
  if (bytes > 0) first.bytes = static_cast<size_t>(bytes);
  return first;
}

Character last_character(std::string_view text) {
  if (text.empty()) return {};
  return first_character(text.substr(character_start(text, text.size() - 1)));
}

/// Unicode's White_Space.
bool is_space(const Character& at) {
  const utf8proc_int32_t c = at.code;
  return at.bytes > 0 && ((c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 ||
                          c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
                          c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000);
}

/// What Rust's regex calls \w (Unicode's UTS 18, annex C): letters, marks, digits, connectors and
/// joiners, and the symbols that count as letters.
bool is_word(const Character& at) {
  if (at.bytes == 0) return false;
  const utf8proc_int32_t c = at.code;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
             (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
             (c >= 0x1F170 && c <= 0x1F189);
  }
}

size_t spaces_at_end(std::string_view text) {
  size_t bytes = 0;
  while (true) {
    const Character last = last_character(text.substr(0, text.size() - bytes));
    if (!is_space(last)) return bytes;
    bytes += last.bytes;
  }
}

size_t spaces_at_start(std::string_view text) {
  size_t bytes = 0;
  while (true) {
    const Character first = first_character(text.substr(bytes));
    if (!is_space(first)) return bytes;
    bytes += first.bytes;
  }
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, const Normalize& normalize) {
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    std::erase_if(by_id_, [&](const auto& known) { return known.second.content == token.content; });
    by_id_[token.id] = token;
  }
  for (const auto& [id, token] : by_id_) {
    const bool changes = token.normalized && normalize;
    patterns_[id] = changes ? normalize(token.content) : token.content;
    (token.normalized ? normalized_ : plain_).add(patterns_[id], &token);
  }
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

void AddedTokens::Matcher::add(std::string_view pattern, const AddedToken* token) {
  if (pattern.empty()) return;
  tokens[pattern] = token;
  std::vector<size_t>& known = lengths[pattern.front()];
  const auto place = std::lower_bound(known.begin(), known.end(), pattern.size(), std::greater());
  if (place == known.end() || *place != pattern.size()) known.insert(place, pattern.size());
}

const AddedToken* AddedTokens::Matcher::longest_at(std::string_view text, size_t at,
                                                   size_t& length) const {
  const auto known = lengths.find(text[at]);
  if (known == lengths.end()) return nullptr;
  for (const size_t candidate : known->second) {
    if (candidate > text.size() - at) continue;
    const auto found = tokens.find(text.substr(at, candidate));
    if (found == tokens.end()) continue;
    length = candidate;
    return found->second;
  }
  return nullptr;
}

std::vector<Stretch> AddedTokens::Matcher::split(std::string_view text) const {
  std::vector<Stretch> stretches;
  size_t done = 0;  // bytes that are in a stretch
  size_t length = 1;
  for (size_t at = 0; at < text.size(); at += length) {
    length = 1;
    const AddedToken* token = tokens.empty() ? nullptr : longest_at(text, at, length);
    if (token == nullptr) continue;
    size_t begin = at, end = at + length;
    if (token->single_word && (is_word(last_character(text.substr(0, begin))) ||
                               is_word(first_character(text.substr(end)))))
      continue;
    // The search goes on behind the content, as in the library: a token can begin, or lie, in the
    // white space that this one swallows.
    if (token->lstrip) begin = std::max(begin - spaces_at_end(text.substr(0, begin)), done);
    if (token->rstrip) end += spaces_at_start(text.substr(end));
    if (begin >= end) continue;
    if (done < begin) stretches.push_back({text.substr(done, begin - done)});
    stretches.push_back({text.substr(begin, end - begin), token});
    done = end;
  }
  if (done < text.size()) stretches.push_back({text.substr(done)});
  return stretches;
}

}  // namespace fathom
