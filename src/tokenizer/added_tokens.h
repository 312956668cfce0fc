// Tokens that a tokenizer finds in a text before its model sees what lies between them, as Hugging
// Face's tokenizers library does (AddedVocabulary): "<|im_start|>" is one id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fathom {

/// A row of `added_tokens` in tokenizer.json, or of `added_tokens_decoder` in
/// tokenizer_config.json.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  ///< only where no letter, digit or underscore stands beside it
  bool lstrip = false;       ///< swallows the white space before it
  bool rstrip = false;       ///< swallows the white space after it
  bool normalized = false;   ///< found in the normalized text, by its own normalized content
  bool special = false;      ///< decoding may leave it out

  bool operator==(const AddedToken&) const = default;
};

/// A part of a text: an added token with what it swallowed, or text between two.
struct Stretch {
  std::string_view text;
  const AddedToken* token = nullptr;  ///< null: text for the model
};

/// The added tokens of a tokenizer. They are found from the left, the longest first, in two passes:
/// those that aren't normalized in the text as it is, then the others in each normalized stretch
/// between them. A place where a single_word token doesn't stand alone is text, and the search goes
/// on after it.
class AddedTokens {
 public:
  using Normalize = std::function<std::string(std::string_view)>;

  AddedTokens() = default;
  AddedTokens(AddedTokens&&) = default;
  AddedTokens& operator=(AddedTokens&&) = default;
  /// Of several tokens with one id or one content the last counts, and empty ones don't.
  /// @param normalize what the tokenizer does to a text before its model; empty: nothing
  explicit AddedTokens(const std::vector<AddedToken>& tokens, const Normalize& normalize = {});

  bool empty() const { return by_id_.empty(); }
  /// By id.
  const std::map<int32_t, AddedToken>& tokens() const { return by_id_; }
  /// @returns null for an id that isn't an added token's
  const AddedToken* find(int32_t id) const;

  /// The whole text in stretches, none of which is empty, by the tokens that aren't normalized.
  std::vector<Stretch> split(std::string_view text) const { return plain_.split(text); }
  /// Likewise a normalized stretch, by the tokens that are.
  std::vector<Stretch> split_normalized(std::string_view text) const {
    return normalized_.split(text);
  }

 private:
  /// Finds some of the tokens, each by a pattern.
  struct Matcher {
    std::unordered_map<std::string_view, const AddedToken*> tokens;  // by pattern
    std::map<char, std::vector<size_t>> lengths;  // of patterns by first byte, longest first

    void add(std::string_view pattern, const AddedToken* token);
    const AddedToken* longest_at(std::string_view text, size_t at, size_t& length) const;
    std::vector<Stretch> split(std::string_view text) const;
  };

  // The matchers point into these maps, whose nodes stay where they are when a map is moved.
  std::map<int32_t, AddedToken> by_id_;
  std::map<int32_t, std::string> patterns_;
  Matcher plain_;
  Matcher normalized_;
};

}  // namespace fathom
