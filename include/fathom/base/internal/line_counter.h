/// Where in a JSON text nlohmann's parser is, in lines.
#pragma once

#include <cstddef>
#include <iterator>

namespace fathom {

/// Counts the lines of what the parser has consumed, so that an error in a callback can name its
/// line.
class LineCountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  LineCountingIterator(const char* position, int* line) : position_(position), line_(line) {}
  reference operator*() const { return *position_; }
  LineCountingIterator& operator++() {
    // Counted when the character after a line's end is read: the parser reads one character past a
    // number to see that it ends.
    if (after_newline_) ++*line_;
    after_newline_ = *position_ == '\n';
    ++position_;
    return *this;
  }
  bool operator==(const LineCountingIterator& other) const { return position_ == other.position_; }
  bool operator!=(const LineCountingIterator& other) const { return position_ != other.position_; }

 private:
  const char* position_;
  int* line_;
  bool after_newline_ = false;
};

}  // namespace fathom
