// The rows of one optimizer step, as plain arrays; train/ makes tensors of them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "fathom/base/ignored_target.h"

namespace fathom {

/// Rows of tokens: this rank's share of a global batch.
struct Batch {
  int64_t rows = 0;
  int64_t length = 0;             ///< tokens in a row (sequence_length)
  std::vector<int64_t> input;     ///< [rows, length] token ids; padding is 0
  std::vector<int64_t> target;    ///< [rows, length] next token ids, or kIgnoredTarget
  std::vector<int32_t> document;  ///< [rows, length] number of the document within the row; empty
                                  ///< unless attention stays within a document
  int64_t tokens = 0;             ///< tokens of the global batch that aren't padding
  int64_t targets = 0;            ///< targets of the global batch that aren't ignored
};

/// Batches one after the other; no value after the last.
using BatchStream = std::function<std::optional<Batch>()>;

}  // namespace fathom
