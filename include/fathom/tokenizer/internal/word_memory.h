// The ids of words that were seen before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fathom {

/// Remembers the ids of short words, up to some 8 MB. For one thread.
class WordMemory {
 public:
  /// The ids of a word, or null. They stay where they are as long as the memory lives.
  const std::vector<int32_t>* find(std::string_view word) const {
    const auto found = words_.find(word);
    return found == words_.end() ? nullptr : &found->second;
  }

  void remember(std::string_view word, std::vector<int32_t> ids) {
    if (word.size() <= kMaxWordBytes && words_.size() < kMaxWords)
      words_.emplace(word, std::move(ids));
  }

 private:
  static constexpr size_t kMaxWords = size_t{1} << 16;
  static constexpr size_t kMaxWordBytes = 32;  // longer ones hardly come back

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  std::unordered_map<std::string, std::vector<int32_t>, Hash, std::equal_to<>> words_;
};

}  // namespace fathom
