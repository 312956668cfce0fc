// The CPU's loops, each over a part of its task so that threads can share one. Compiled for several
// instruction sets; the loader picks when the program starts.
#pragma once

#include "kernels/row_kernels.h"

namespace fathom {

/// Rows [begin, end).
void rms_norm_forward_rows(const RmsNormForward& task, int64_t begin, int64_t end);

/// Part `part` of task.parts: its share of the rows, and its row of dw_parts.
void rms_norm_backward_part(const RmsNormBackward& task, int64_t part);

/// Rows [begin, end).
void swiglu_forward_rows(const SwigluForward& task, int64_t begin, int64_t end);
void swiglu_backward_rows(const SwigluBackward& task, int64_t begin, int64_t end);

/// Tokens [begin, end) of the batch, counted through its rows.
void rotate_tokens(const Rotation& task, int64_t begin, int64_t end);

/// Columns of logits that are worked on at a time. With the rows of a thread they stay in its
/// cache.
constexpr int64_t kTileColumns = 1024;
/// From row to row of a tile: rows that begin 4 KiB apart would share few places of the cache.
constexpr int64_t kTileStride = kTileColumns + 16;

/// A block of logits, tile by tile, and what is known of its rows so far. The softmax is of
/// exp(logit - reference): while no later logit is far above it, any number near the largest does
/// as the reference, and the sum needn't be known before the numbers are used.
struct SoftmaxBlock {
  int64_t rows, dim, vocabulary;
  NumberType type;            // of logits, hidden and weight
  void* logits;               // exponentials after softmax_tile, then the gradient
  int64_t from_tile_to_tile;  // numbers
  const int64_t* target;      // [rows]
  float* reference;           // [rows]
  float* sum;                 // [rows] of the exponentials
  float* of_target;           // [rows] the target's logit
  float* grad_hidden;         // [rows, dim] sums of exponential * weight so far, or null
};

/// The columns of one tile: logits to exponentials, but for the target's, which becomes 0. Where a
/// logit is far above the reference, what was summed and stored before is scaled down to a new one.
void softmax_tile(const SoftmaxBlock& block, int64_t tile);

/// What all columns come to.
struct SoftmaxResult {
  float scale, z_loss;
  float* loss;          // [rows], written
  const void* hidden;   // [rows, dim]
  const void* weight;   // [vocabulary, dim]
  void* grad_hidden;    // [rows, dim], written
  void* scaled_hidden;  // [rows, dim], written: so that its products with the logits, as they are
                        // then, are the gradient of the weight
};

/// The loss of each row, (log_sum - logit of target + z_loss log_sum^2) * scale with log_sum =
/// log(sum(exp(logits))); and, where block.grad_hidden isn't null, its gradients.
void softmax_finish(const SoftmaxBlock& block, const SoftmaxResult& result);

/// Elements [begin, end) of one tensor.
void adam_elements(const AdamStep& task, const AdamTensor& tensor, int64_t begin, int64_t end);

}  // namespace fathom
