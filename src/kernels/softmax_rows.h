// Row loops of softmax cross-entropy on CPU.
#pragma once

#include <cstdint>

namespace fathom {

/// Rows [begin, end) of logits [rows, vocabulary]: writes the loss of each row, -log
/// softmax[target] * scale, and turns the logits into its gradient, (softmax - onehot(target)) *
/// scale. Each row stays in the core's cache meanwhile.
/// @param target class of each row; a negative one is ignored: loss and gradient 0
void softmax_cross_entropy_rows(float* logits, const int64_t* target, float* loss,
                                int64_t vocabulary, float scale, int64_t begin, int64_t end);

}  // namespace fathom
