// What a device offers to the fused kernels: loops over rows of numbers, without tensors. The CPU
// has them in cpu_rows.cc, CUDA in cuda/; the functions of rms_norm.h and so on call them.
#pragma once

#include <cstdint>

namespace fathom {

enum class NumberType { float32, bfloat16 };

/// Where work is queued: a cudaStream_t; null on the CPU.
using StreamHandle = void*;

// All arrays are dense and row-major unless a stride says otherwise. Arithmetic is in float32.

struct RmsNormShape {
  int64_t rows, dim;
  NumberType type;         ///< of activations and their gradients
  NumberType weight_type;  ///< float32, or as `type`
  float eps;               ///< added to the mean square
  float scale;             ///< a constant factor of the result
};

/// y = sum * inverse_rms * weight * scale with sum = x + update and inverse_rms = 1 /
/// sqrt(mean(sum^2) + eps).
struct RmsNormForward {
  RmsNormShape shape;
  const void* x;       ///< [rows, dim]
  const void* update;  ///< [rows, dim], or null: the sum is x
  const void* weight;  ///< [dim]
  void* sum;  ///< [rows, dim], written where there is an update; what is normed is as stored
  void* y;    ///< [rows, dim], written
  float* inverse_rms;  ///< [rows], written
};

struct RmsNormBackward {
  RmsNormShape shape;
  const void* sum;           ///< [rows, dim], what was normed
  const void* weight;        ///< [dim]
  const float* inverse_rms;  ///< [rows]
  const void* dy;            ///< [rows, dim]
  const void* direct;        ///< [rows, dim] gradient of the sum beside the norm's, or null
  void* dx;         ///< [rows, dim], written: the gradient of the sum, and so of x and update
  float* dw_parts;  ///< [parts, dim], written: their sum over parts is the gradient of weight
  int64_t parts;    ///< what rms_norm_parts returned
};

struct SwigluForward {
  int64_t rows, width;
  NumberType type;
  const void* gate_up;  ///< [rows, 2 width]: gate, then up
  void* y;              ///< [rows, width], written: silu(gate) * up
};

struct SwigluBackward {
  int64_t rows, width;
  NumberType type;
  const void* gate_up;  ///< as of the forward pass
  void* dy;             ///< [rows, width] the gradient of y; y itself afterwards
  void* grad_gate_up;   ///< [rows, 2 width], written
};

/// Where the channels of each head lie, which are next to each other.
struct HeadStrides {
  int64_t row, time, head;
};

/// out = (a cos - b sin, b cos + a sin) on the two halves (a, b) of each head's channels.
struct Rotation {
  int64_t rows, length, heads,
      half;  ///< of the batch, tokens of a row, heads, channels of a head / 2
  NumberType type;
  const void* x;
  HeadStrides x_strides;
  void* out;  ///< may be x
  HeadStrides out_strides;
  const float* cos;  ///< [length, half]
  const float* sin;
  float direction;  ///< of sin: 1 forward, -1 back
};

/// Of each row: loss = (log_sum - logit of target + z_loss log_sum^2) * scale with log_sum =
/// log(sum(exp(logits))). The logits become its gradient.
struct SoftmaxCrossEntropy {
  int64_t rows, vocabulary;
  int64_t stride;         ///< numbers from one row of logits to the next
  NumberType type;        ///< of logits
  void* logits;           ///< [rows, vocabulary]
  const int64_t* target;  ///< [rows]; a negative one is ignored: loss and gradient 0
  float* loss;            ///< [rows], written
  float scale;
  float z_loss;
};

/// A parameter and what updates it, all of one type.
struct AdamTensor {
  void* parameter;
  const void* gradient;
  void* first_moment;
  void* second_moment;
  int64_t size;
  uint64_t key;  ///< of its random numbers
};

/// One step of Adam: g = gradient / divisor; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2)
/// g^2; w -= lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps). Scalars that change
/// from step to step lie on the device, so that a recorded step can be replayed.
struct AdamStep {
  double beta1, beta2, eps;
  double weight_decay;
  bool decoupled_decay;      ///< w *= 1 - lr weight_decay before it; else g += weight_decay w
  bool stochastic_rounding;  ///< of bf16 results: up or down with the odds of the distance
  NumberType type;
  const float* lr;
  const float* step;  ///< this one's number, from 1
  const float* gradient_divisor;
  const float* skip;  ///< 1: everything stays as it is
};

/// A device's loops. Each returns when its work is queued (a GPU) or done (the CPU).
struct RowKernels {
  void (*rms_norm_forward)(const RmsNormForward&, StreamHandle);
  int64_t (*rms_norm_parts)(int64_t rows, int64_t dim);
  void (*rms_norm_backward)(const RmsNormBackward&, StreamHandle);
  void (*swiglu_forward)(const SwigluForward&, StreamHandle);
  void (*swiglu_backward)(const SwigluBackward&, StreamHandle);
  void (*rotate)(const Rotation&, StreamHandle);
  /// Null on the CPU, where the head works on tiles that stay in the cache (cpu_head.h).
  void (*softmax_cross_entropy)(const SoftmaxCrossEntropy&, StreamHandle);
  void (*adam)(const AdamStep&, const AdamTensor* tensors, int64_t count, StreamHandle);
};

}  // namespace fathom
