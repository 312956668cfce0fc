// Row loops of softmax cross-entropy on CPU.
#pragma once

#include <cstdint>

namespace fathom {

struct SoftmaxRows {
  float* logits;          // [rows, vocabulary]
  const int64_t* target;  // [rows]; a negative one is ignored: loss and gradient 0
  float* loss;            // [rows], written
  float* factor;          // [rows], written
  int64_t vocabulary;
  float scale;
  float z_loss;
};

/// Rows [begin, end): writes the loss of each, (log_sum - logit of target + z_loss log_sum^2) *
/// scale with log_sum = log(sum(exp(logits))), and turns the logits into its gradient but for a
/// factor: gradient = factor * row. Memory is read and written once; the multiplication is left to
/// what is smaller than [rows, vocabulary].
void softmax_cross_entropy_rows(const SoftmaxRows& r, int64_t begin, int64_t end);

}  // namespace fathom
