// Perplexity: the token-weighted mean loss over rows of text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "fathom/base/stop.h"
#include "fathom/data/batch.h"
#include "fathom/model/llama.h"
#include "fathom/train/parallel.h"

namespace fathom {

struct Perplexity {
  double loss = 0;      ///< mean over the scored targets, in nats
  int64_t targets = 0;  ///< how many were scored
  /// The least loss, in nats, without looking at any context: the entropy of how often each token
  /// is a target. A model that stays there has learned no more than frequencies.
  double unigram_loss = 0;

  /// exp(loss)
  double perplexity() const;
};

/// Scores every non-ignored target once. Waits for the device only at the end.
/// @param parallel the ranks of which each scores its share of every batch; all get the result
/// @throws Interrupted when asked to stop; DataError if there is nothing to score
Perplexity evaluate_perplexity(Llama& model, const BatchStream& batches, const StopFlag& stop,
                               Parallel* parallel = nullptr);

}  // namespace fathom
