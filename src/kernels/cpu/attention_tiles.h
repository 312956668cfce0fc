// Causal attention on CPU, a head of keys and values at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/row_kernels.h"

namespace fathom {

struct AttentionShape {
  int64_t batch, heads, key_heads, length, channels;  // heads is a multiple of key_heads
};

/// [B, H, T, C]; the channels of a head are next to each other.
struct HeadRows {
  float* data;
  HeadStrides strides;
};

struct AttentionForward {
  AttentionShape shape;
  HeadRows query, key, value;
  HeadRows out;    // written
  float* log_sum;  // [B, H, T], written: log(sum(exp(scores)))
};

struct AttentionBackward {
  AttentionShape shape;
  HeadRows query, key, value, out;
  const float* log_sum;
  HeadRows grad_out;
  HeadRows grad_query, grad_key, grad_value;  // written
};

/// Numbers of scratch memory, at 64 bytes, that each call below needs.
int64_t attention_scratch(const AttentionShape& shape);

/// The loops for an instruction set: the heads [begin, end) of keys and values, counted through the
/// batch, with the queries that use them.
struct AttentionTiles {
  const char* instruction_set;
  void (*forward)(const AttentionForward& a, int64_t begin, int64_t end, float* scratch);
  void (*backward)(const AttentionBackward& a, int64_t begin, int64_t end, float* scratch);
};

/// Those that this processor can run, the fastest first; none without AVX2.
std::vector<AttentionTiles> attention_tiles();

}  // namespace fathom
