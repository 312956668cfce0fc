// The regular expressions of a tokenizer.json, which are Oniguruma's, run by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "tokenizer/tokenizer_json/node.h"

namespace fathom::tokenizer_json {

/// The same pattern in PCRE2's syntax, with the Unicode of Oniguruma: \s, \d and \p{...} mean what
/// they mean there.
/// @throws Unsupported naming what isn't translated
std::string to_pcre2(std::string_view oniguruma);

/// A compiled pattern. All methods may be called from several threads.
class Pattern {
 public:
  struct Match {
    size_t begin = 0;
    size_t end = 0;
  };

  /// @param node an object {"Regex": "..."} or {"String": "..."}
  /// @throws Unsupported; std::invalid_argument if it isn't a regular expression
  explicit Pattern(const Node& node);
  /// @param pcre2 in PCRE2's syntax
  /// @param shown for messages
  Pattern(const std::string& pcre2, std::string shown);
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  /// The text with each match replaced.
  std::string replace_all(std::string_view text, std::string_view by) const;

  /// Finds matches in one text, from the left.
  class Search {
   public:
    Search(const Pattern& pattern, std::string_view text);
    ~Search();
    Search(const Search&) = delete;
    Search& operator=(const Search&) = delete;

    /// The next match. An empty one isn't taken right behind the last match.
    /// @returns false if there is no more
    /// @throws DataError if the pattern takes too long: it goes back and forth without an end
    bool next(Match& match);

   private:
    bool match_at(size_t begin, Match& match);

    const Pattern* pattern_;
    std::string_view text_;
    void* match_data_;
    size_t at_ = 0;
    size_t last_end_ = SIZE_MAX;
  };

 private:
  struct Code;

  std::string shown_;
  std::unique_ptr<const Code> code_;
};

}  // namespace fathom::tokenizer_json
