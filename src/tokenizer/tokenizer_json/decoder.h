// How a tokenizer.json makes text of tokens.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tokenizer/tokenizer_json/node.h"

namespace fathom::tokenizer_json {

/// One step. May be called from several threads.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  virtual std::vector<std::string> apply(std::vector<std::string> tokens) const = 0;
};

class Decoder {
 public:
  /// Without a "decoder", tokens have a space between them.
  Decoder() = default;
  /// @param node "decoder" @throws Unsupported; std::invalid_argument
  explicit Decoder(const Node& node);

  /// Bytes that are no UTF-8 become U+FFFD.
  std::string text(std::vector<std::string> tokens) const;

 private:
  void add(const Node& node);

  std::vector<std::unique_ptr<const DecoderStep>> steps_;
};

}  // namespace fathom::tokenizer_json
