#include "kernels/cpu/rows.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu/loops.h"

namespace fathom {
namespace {

/// Numbers that are worth a task of their own.
constexpr int64_t kNumbersPerTask = 16384;

int64_t rows_per_task(int64_t width) {
  return std::max<int64_t>(1, kNumbersPerTask / std::max<int64_t>(1, width));
}

void rms_norm_forward(const RmsNormForward& task, StreamHandle) {
  at::parallel_for(0, task.shape.rows, rows_per_task(task.shape.dim),
                   [&](int64_t begin, int64_t end) { rms_norm_forward_rows(task, begin, end); });
}

/// One partial sum of dW for each thread, added up in a fixed order: the same threads give the same
/// bits.
int64_t rms_norm_parts(int64_t rows, int64_t /*dim*/) {
  return std::clamp<int64_t>(at::get_num_threads(), 1, std::max<int64_t>(rows, 1));
}

void rms_norm_backward(const RmsNormBackward& task, StreamHandle) {
  at::parallel_for(0, task.parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) rms_norm_backward_part(task, part);
  });
}

void swiglu_forward(const SwigluForward& task, StreamHandle) {
  at::parallel_for(0, task.rows, rows_per_task(task.width),
                   [&](int64_t begin, int64_t end) { swiglu_forward_rows(task, begin, end); });
}

void swiglu_backward(const SwigluBackward& task, StreamHandle) {
  at::parallel_for(0, task.rows, rows_per_task(task.width),
                   [&](int64_t begin, int64_t end) { swiglu_backward_rows(task, begin, end); });
}

void rotate(const Rotation& task, StreamHandle) {
  at::parallel_for(0, task.rows * task.length, rows_per_task(2 * task.heads * task.half),
                   [&](int64_t begin, int64_t end) { rotate_tokens(task, begin, end); });
}

/// Elements [begin, end) of a tensor.
struct AdamPiece {
  const AdamTensor* tensor;
  int64_t begin, end;
};

void adam(const AdamStep& task, const AdamTensor* tensors, int64_t count, StreamHandle) {
  if (*task.skip == 1.0F) return;
  constexpr int64_t kElements = 1 << 15;
  std::vector<AdamPiece> pieces;
  for (const AdamTensor* tensor = tensors; tensor != tensors + count; ++tensor) {
    for (int64_t begin = 0; begin < tensor->size; begin += kElements)
      pieces.push_back({tensor, begin, std::min(begin + kElements, tensor->size)});
  }
  at::parallel_for(0, static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const AdamPiece& piece = pieces[static_cast<size_t>(i)];
      adam_elements(task, *piece.tensor, piece.begin, piece.end);
    }
  });
}

}  // namespace

const RowKernels& cpu_row_kernels() {
  static constexpr RowKernels kKernels = {.rms_norm_forward = &rms_norm_forward,
                                          .rms_norm_parts = &rms_norm_parts,
                                          .rms_norm_backward = &rms_norm_backward,
                                          .swiglu_forward = &swiglu_forward,
                                          .swiglu_backward = &swiglu_backward,
                                          .rotate = &rotate,
                                          .softmax_cross_entropy = nullptr,
                                          .adam = &adam};
  return kKernels;
}

}  // namespace fathom
