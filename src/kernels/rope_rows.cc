#include "rope_rows.h"

#include "vector_clones.h"

namespace fathom {

FATHOM_VECTOR_CLONES
void rotate_rows(const RopeRows& r, const float* x, const HeadStrides& x_strides, float* out,
                 const HeadStrides& out_strides, int64_t begin, int64_t end) {
  for (int64_t token = begin; token < end; ++token) {
    const int64_t row = token / r.length, time = token % r.length;
    const float* cos = r.cos + time * r.half;
    const float* sin = r.sin + time * r.half;
    for (int64_t head = 0; head < r.heads; ++head) {
      const float* from = x + row * x_strides.row + time * x_strides.time + head * x_strides.head;
      float* to = out + row * out_strides.row + time * out_strides.time + head * out_strides.head;
      // No two iterations touch the same number, also where x is out.
#pragma omp simd
      for (int64_t i = 0; i < r.half; ++i) {
        const float a = from[i], b = from[i + r.half], turned = sin[i] * r.direction;
        to[i] = a * cos[i] - b * turned;
        to[i + r.half] = b * cos[i] + a * turned;
      }
    }
  }
}

}  // namespace fathom
