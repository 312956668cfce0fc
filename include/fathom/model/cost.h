// What a model costs, from its config alone: parameters, floating-point operations, memory.
#pragma once

#include <cstdint>

#include "fathom/config/run_config.h"
#include "fathom/model/placement.h"

namespace fathom {

struct ParameterCount {
  int64_t embedding = 0;  ///< with its norm and gain
  int64_t blocks = 0;     ///< matrices, norms and biases of all blocks
  int64_t head = 0;       ///< 0 when tied
  int64_t final_norm = 0;
  int64_t block_matrices = 0;  ///< of `blocks`, the weights of matrices

  int64_t total() const { return embedding + blocks + head + final_norm; }
};

ParameterCount count_parameters(const ModelConfig& config, const ModelPlan& plan);

/// Floating-point operations that training takes for each token: forward and backward, every GEMM
/// with the head, and attention with its causal half; a multiply-add counts two. Recomputation is
/// not counted.
double training_flops_per_token(const ModelConfig& config, int64_t sequence_length);

/// Bytes that a training step on the CPU holds at its peak, by part.
struct MemoryEstimate {
  int64_t weights = 0;
  int64_t gradients = 0;  ///< that exist at the peak
  int64_t optimizer = 0;
  int64_t activations = 0;  ///< kept from the forward for the backward pass, of one micro-batch
  int64_t backward = 0;     ///< gradients of a block's activations, while it is computed
  int64_t loss = 0;         ///< a chunk of logits
  int64_t overhead = 0;     ///< buffers of the GEMM library, the tokenizer: measured, not derived

  int64_t total() const {
    return weights + gradients + optimizer + activations + backward + loss + overhead;
  }
};

/// @param optimizer_numbers that the optimizer keeps (OptimizerRow::state_numbers)
MemoryEstimate estimate_memory(const RunConfig& config, const ModelPlan& plan,
                               int64_t optimizer_numbers);

}  // namespace fathom
