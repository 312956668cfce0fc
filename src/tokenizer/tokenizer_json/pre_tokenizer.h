// How a tokenizer.json divides a text into the words that its model sees one by one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer_json/node.h"

namespace fathom::tokenizer_json {

/// A part of a normalized text.
struct Piece {
  std::string_view text;
  bool starts_text = false;  ///< the text of a document begins with it
  bool inside = false;       ///< it goes on a text that was cut: no space belongs before it
};

/// Takes pieces one after the other. Their text lives as long as the call.
class PieceSink {
 public:
  virtual ~PieceSink() = default;
  virtual void take(const Piece& piece) = 0;
};

/// One step. May be called from several threads.
class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual void split(const Piece& piece, PieceSink& sink) const = 0;
};

class PreTokenizer {
 public:
  PreTokenizer() = default;
  /// @param node "pre_tokenizer" @throws Unsupported; std::invalid_argument
  explicit PreTokenizer(const Node& node);

  /// Whether words go to the model as the bytes of their text, each of which is a symbol of the
  /// vocabulary (U+0120 for a space), rather than as characters.
  bool gives_bytes() const { return gives_bytes_; }
  /// Divides a piece; empty words are left out.
  void split(const Piece& piece, PieceSink& words) const;

 private:
  void add(const Node& node);

  std::vector<std::unique_ptr<const PreTokenizerStep>> steps_;
  bool gives_bytes_ = false;
};

}  // namespace fathom::tokenizer_json
