// What a tokenizer.json does to a text before anything else: Unicode's normal forms and
// replacements.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer_json/node.h"

namespace fathom::tokenizer_json {

/// One step. May be called from several threads.
class NormalizerStep {
 public:
  virtual ~NormalizerStep() = default;
  /// @param text valid UTF-8
  /// @param inside text comes before it, so that nothing belongs in front of it
  virtual std::string apply(std::string text, bool inside) const = 0;
};

class Normalizer {
 public:
  Normalizer() = default;
  /// @param node "normalizer" @throws Unsupported; std::invalid_argument
  explicit Normalizer(const Node& node);

  bool empty() const { return steps_.empty(); }
  std::string apply(std::string_view text, bool inside) const;

 private:
  void add(const Node& node);

  std::vector<std::unique_ptr<const NormalizerStep>> steps_;
};

}  // namespace fathom::tokenizer_json
