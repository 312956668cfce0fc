// Widths that break the alignment of 16-bit rows on a GPU. They are padded on the way through a
// kernel, never in parameters or gradients.
#pragma once

#include <torch/types.h>

namespace fathom {

/// The width that rows have in memory: of 16-bit numbers on a GPU a multiple of 64 (5461: 5504),
/// unless `width` is one of 8, which is 16 bytes; else `width`.
int64_t padded_width(int64_t width, const torch::TensorOptions& options);

/// The fused swiglu_feed_forward, with zeros after gate's and up's last rows and down's last
/// column.
/// @param width that they are padded to; at least theirs
torch::Tensor padded_feed_forward(const torch::Tensor& x, const torch::Tensor& gate_ID,
                                  const torch::Tensor& up_ID, const torch::Tensor& down_DI,
                                  int64_t width);

}  // namespace fathom
