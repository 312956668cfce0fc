#include "attention_tiles.h"

#include <cmath>
#include <limits>

#include "tile_gemm.h"

namespace fathom {
namespace {

// Queries come in blocks. A block has its scores with all keys up to its last query, and no
// others, at once: they stay in the second-level cache, and softmax needs no second pass.
constexpr int64_t kBlock = 48;  // a multiple of every Tile's rows

constexpr int64_t kWidest = 16;  // lanes of a Tile

// Scores just behind a query's own key are set to 0, as far as tiles may read.
constexpr int64_t kMaskedTail = 2 * kLanes;

constexpr int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// Sizes of what is copied to scratch memory: padded with zeros, tiles have no remainders.
struct Padded {
  explicit Padded(const AttentionShape& shape)
      : length(round_up(shape.length, kBlock)),
        channels(round_up(shape.channels, kWidest)),
        row(length + kMaskedTail) {}
  int64_t length, channels;
  int64_t row;  // of scores and of what lies by time; no power of two, which would share few sets
};

/// Hands out scratch memory; without a base it only counts.
struct Arena {
  float* base;
  int64_t used = 0;
  float* take(int64_t count) {
    float* taken = base == nullptr ? nullptr : base + used;
    used += round_up(count, 16);
    return taken;
  }
};

struct ForwardScratch {
  ForwardScratch(const Padded& n, Arena& arena)
      : keys_CT(arena.take(n.channels * n.row)),
        values_TC(arena.take(n.length * n.channels)),
        queries(arena.take(kBlock * n.channels)),
        scores(arena.take(kBlock * n.row)),
        out(arena.take(kBlock * n.channels)) {}
  float *keys_CT, *values_TC, *queries, *scores, *out;
};

struct BackwardScratch {
  BackwardScratch(const Padded& n, Arena& arena)
      : keys_CT(arena.take(n.channels * n.row)),
        values_CT(arena.take(n.channels * n.row)),
        keys_TC(arena.take(n.length * n.channels)),
        grad_keys(arena.take(n.length * n.channels)),
        grad_values(arena.take(n.length * n.channels)),
        queries(arena.take(kBlock * n.channels)),
        grad_out(arena.take(kBlock * n.channels)),
        scores(arena.take(kBlock * n.row)),
        grad_scores(arena.take(kBlock * n.row)),
        grad_queries(arena.take(kBlock * n.channels)) {}
  float *keys_CT, *values_CT, *keys_TC, *grad_keys, *grad_values;
  float *queries, *grad_out, *scores, *grad_scores, *grad_queries;
};

float scale_of(const AttentionShape& shape) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.channels)));
}

/// Rows of one head.
struct Rows {
  float* data;
  int64_t stride;
  float* at(int64_t row) const { return data + row * stride; }
};

FATHOM_INLINE Rows rows_of(const HeadRows& all, int64_t batch, int64_t head) {
  return {all.data + batch * all.strides.row + head * all.strides.head, all.strides.time};
}

FATHOM_INLINE void fill(float* x, int64_t n, float value) {
  for (int64_t i = 0; i < n; ++i) x[i] = value;
}

/// to [padded count, padded channels] = scale * from, and zeros.
FATHOM_INLINE void pack(const Rows& from, int64_t count, int64_t padded_count, int64_t channels,
                        int64_t padded_channels, float scale, float* to) {
  for (int64_t t = 0; t < count; ++t, to += padded_channels) {
    const float* x = from.at(t);
    for_each_vector(channels,
                    [&](int64_t i, int64_t n) { store(to + i, load(x + i, n) * scale, n); });
    fill(to + channels, padded_channels - channels, 0.0F);
  }
  fill(to, (padded_count - count) * padded_channels, 0.0F);
}

/// The other way, without the padding.
FATHOM_INLINE void unpack(const float* from, int64_t count, int64_t channels,
                          int64_t padded_channels, float scale, const Rows& to) {
  for (int64_t t = 0; t < count; ++t, from += padded_channels) {
    float* y = to.at(t);
    for_each_vector(channels,
                    [&](int64_t i, int64_t n) { store(y + i, load(from + i, n) * scale, n); });
  }
}

/// Transposes eight vectors: swaps the off-diagonal halves, then those of the halves.
FATHOM_INLINE void transpose(Floats (&x)[kLanes]) {
  for (int i = 0; i < 4; ++i) {
    const Floats a = x[i], b = x[i + 4];
    x[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    x[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  }
  for (const int i : {0, 1, 4, 5}) {
    const Floats a = x[i], b = x[i + 2];
    x[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
    x[i + 2] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  }
  for (int i = 0; i < kLanes; i += 2) {
    const Floats a = x[i], b = x[i + 1];
    x[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
    x[i + 1] = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  }
}

/// to [channels, row] = scale * the transposed rows, and zeros.
FATHOM_INLINE void pack_transposed(const Rows& from, int64_t count, int64_t channels, int64_t row,
                                   float scale, float* to) {
  for (int64_t t = 0; t < count; t += kLanes) {
    const int64_t filled = std::min(kLanes, count - t);
    for_each_vector(channels, [&](int64_t c, int64_t n) {
      Floats x[kLanes] = {};
      for (int64_t i = 0; i < filled; ++i) x[i] = load(from.at(t + i) + c, n) * scale;
      transpose(x);
      for (int64_t i = 0; i < n; ++i) store(to + (c + i) * row + t, x[i]);
    });
  }
  const int64_t written = round_up(count, kLanes);
  for (int64_t c = 0; c < channels; ++c) fill(to + c * row + written, row - written, 0.0F);
}

FATHOM_INLINE float largest_of(const Floats& x) {
  float most = x[0];
  for (int64_t lane = 1; lane < kLanes; ++lane) most = x[lane] > most ? x[lane] : most;
  return most;
}

/// Turns n scores into exp(score - largest), with zeros behind; returns log(sum) in `log_sum` and
/// 1 / sum.
FATHOM_INLINE float softmax_row(float* x, int64_t n, float* log_sum) {
  fill(x + n, kMaskedTail, -std::numeric_limits<float>::infinity());
  // Two vectors at a time, so that one needn't wait for the other.
  Floats largest[2] = {load(x), load(x + kLanes)}, sums[2] = {};
  for (int64_t i = 2 * kLanes; i < n; i += 2 * kLanes)
    for (int j = 0; j < 2; ++j) largest[j] = larger(load(x + i + j * kLanes), largest[j]);
  const float most = largest_of(larger(largest[0], largest[1]));
  for (int64_t i = 0; i < n; i += 2 * kLanes)
    for (int j = 0; j < 2; ++j) {
      const Floats y = bounded_exp(load(x + i + j * kLanes) - most);
      store(x + i + j * kLanes, y);
      sums[j] += y;
    }
  fill(x + n, kMaskedTail, 0.0F);
  const float sum = sum_of(sums[0] + sums[1]);
  *log_sum = most + std::log(sum);
  return 1.0F / sum;
}

/// Turns n scores into probabilities p, and gradients of p into those of scores, p (g - mean).
FATHOM_INLINE void softmax_row_backward(float* x, float* g, int64_t n, float log_sum, float mean) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Floats p = bounded_exp(load(x + i) - log_sum);
    store(x + i, p);
    store(g + i, p * (load(g + i) - mean));
  }
  fill(x + n, kMaskedTail, 0.0F);
  fill(g + n, kMaskedTail, 0.0F);
}

FATHOM_INLINE float dot(const float* a, const float* b, int64_t n) {
  Floats sums = {};
  for_each_vector(n, [&](int64_t i, int64_t m) { sums += load(a + i, m) * load(b + i, m); });
  return sum_of(sums);
}

/// A block of queries [first, first + rows), of which `count` are there.
template <typename T>
struct Block {
  FATHOM_INLINE Block(int64_t first_in, int64_t length)
      : first(first_in),
        count(std::min(kBlock, length - first_in)),
        rows(round_up(count, T::rows)) {}
  int64_t first, count, rows;
  int64_t keys() const { return first + rows; }

  /// scores [rows, keys] = x y for each query and the keys up to its own.
  FATHOM_INLINE void score(const float* x, const float* y_CT, const Padded& n, int64_t channels,
                           float* scores) const {
    multiply<T, false>(
        rows, round_up(keys(), T::lanes) / T::lanes, {x, n.channels, 1}, {y_CT, n.row},
        {scores, n.row}, [&](int64_t row) {
          return Extent{0, channels, round_up(first + row + T::rows, T::lanes) / T::lanes};
        });
  }

  /// out [rows, C] = scores y.
  FATHOM_INLINE void mix(const float* scores, const float* y_TC, const Padded& n,
                         float* out) const {
    const int64_t vectors = n.channels / T::lanes;
    multiply<T, false>(rows, vectors, {scores, n.row, 1}, {y_TC, n.channels}, {out, n.channels},
                       [&](int64_t row) {
                         return Extent{0, first + row + T::rows, vectors};
                       });
  }

  /// out [keys, C] += the transposed scores x.
  FATHOM_INLINE void add_transposed(const float* scores, const float* x, const Padded& n,
                                    float* out) const {
    const int64_t vectors = n.channels / T::lanes;
    multiply<T, true>(keys(), vectors, {scores, 1, n.row}, {x, n.channels}, {out, n.channels},
                      [&](int64_t key) {
                        return Extent{std::max<int64_t>(0, key - first), rows, vectors};
                      });
  }
};

template <typename T>
FATHOM_INLINE void forward_blocks(const AttentionForward& a, const Padded& n,
                                  const ForwardScratch& s, int64_t batch, int64_t head) {
  const int64_t length = a.shape.length, channels = a.shape.channels;
  const Rows query = rows_of(a.query, batch, head), out = rows_of(a.out, batch, head);
  float* log_sum = a.log_sum + (batch * a.shape.heads + head) * length;
  for (int64_t first = 0; first < length; first += kBlock) {
    const Block<T> block(first, length);
    pack({query.at(first), query.stride}, block.count, block.rows, channels, n.channels, 1.0F,
         s.queries);
    block.score(s.queries, s.keys_CT, n, channels, s.scores);
    float factor[kBlock], unused;
    for (int64_t i = 0; i < block.rows; ++i)
      factor[i] = softmax_row(s.scores + i * n.row, first + i + 1,
                              i < block.count ? log_sum + first + i : &unused);
    block.mix(s.scores, s.values_TC, n, s.out);
    for (int64_t i = 0; i < block.count; ++i)
      unpack(s.out + i * n.channels, 1, channels, n.channels, factor[i],
             {out.at(first + i), out.stride});
  }
}

template <typename T>
FATHOM_INLINE void forward_heads(const AttentionForward& a, int64_t begin, int64_t end,
                                 float* scratch) {
  const Padded n(a.shape);
  Arena arena{scratch};
  const ForwardScratch s(n, arena);
  const int64_t length = a.shape.length, channels = a.shape.channels;
  const int64_t group = a.shape.heads / a.shape.key_heads;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t batch = unit / a.shape.key_heads, key_head = unit % a.shape.key_heads;
    pack_transposed(rows_of(a.key, batch, key_head), length, channels, n.row, scale_of(a.shape),
                    s.keys_CT);
    pack(rows_of(a.value, batch, key_head), length, n.length, channels, n.channels, 1.0F,
         s.values_TC);
    for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head)
      forward_blocks<T>(a, n, s, batch, head);
  }
}

template <typename T>
FATHOM_INLINE void backward_blocks(const AttentionBackward& a, const Padded& n,
                                   const BackwardScratch& s, int64_t batch, int64_t head) {
  const int64_t length = a.shape.length, channels = a.shape.channels;
  const Rows query = rows_of(a.query, batch, head), out = rows_of(a.out, batch, head);
  const Rows grad_out = rows_of(a.grad_out, batch, head);
  const Rows grad_query = rows_of(a.grad_query, batch, head);
  const float* log_sum = a.log_sum + (batch * a.shape.heads + head) * length;
  for (int64_t first = 0; first < length; first += kBlock) {
    const Block<T> block(first, length);
    pack({query.at(first), query.stride}, block.count, block.rows, channels, n.channels, 1.0F,
         s.queries);
    pack({grad_out.at(first), grad_out.stride}, block.count, block.rows, channels, n.channels, 1.0F,
         s.grad_out);
    block.score(s.queries, s.keys_CT, n, channels, s.scores);
    block.score(s.grad_out, s.values_CT, n, channels, s.grad_scores);
    for (int64_t i = 0; i < block.rows; ++i) {
      const bool exists = i < block.count;
      const float mean =
          exists ? dot(out.at(first + i), s.grad_out + i * n.channels, channels) : 0.0F;
      softmax_row_backward(s.scores + i * n.row, s.grad_scores + i * n.row, first + i + 1,
                           exists ? log_sum[first + i] : 0.0F, mean);
    }
    block.add_transposed(s.scores, s.grad_out, n, s.grad_values);
    block.add_transposed(s.grad_scores, s.queries, n, s.grad_keys);
    block.mix(s.grad_scores, s.keys_TC, n, s.grad_queries);
    unpack(s.grad_queries, block.count, channels, n.channels, 1.0F,
           {grad_query.at(first), grad_query.stride});
  }
}

template <typename T>
FATHOM_INLINE void backward_heads(const AttentionBackward& a, int64_t begin, int64_t end,
                                  float* scratch) {
  const Padded n(a.shape);
  Arena arena{scratch};
  const BackwardScratch s(n, arena);
  const int64_t length = a.shape.length, channels = a.shape.channels;
  const int64_t group = a.shape.heads / a.shape.key_heads;
  const float scale = scale_of(a.shape);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t batch = unit / a.shape.key_heads, key_head = unit % a.shape.key_heads;
    const Rows key = rows_of(a.key, batch, key_head), value = rows_of(a.value, batch, key_head);
    pack_transposed(key, length, channels, n.row, scale, s.keys_CT);
    pack_transposed(value, length, channels, n.row, 1.0F, s.values_CT);
    pack(key, length, n.length, channels, n.channels, scale, s.keys_TC);
    fill(s.grad_keys, n.length * n.channels, 0.0F);
    fill(s.grad_values, n.length * n.channels, 0.0F);
    for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head)
      backward_blocks<T>(a, n, s, batch, head);
    unpack(s.grad_keys, length, channels, n.channels, scale, rows_of(a.grad_key, batch, key_head));
    unpack(s.grad_values, length, channels, n.channels, 1.0F,
           rows_of(a.grad_value, batch, key_head));
  }
}

// As in vector_clones.h, but each instruction set has tiles of its own.
#define FATHOM_TILED(NAME, TARGET, ...)                                                           \
  __attribute__((target(TARGET))) void NAME##_forward(const AttentionForward& a, int64_t begin,   \
                                                      int64_t end, float* scratch) {              \
    forward_heads<__VA_ARGS__>(a, begin, end, scratch);                                           \
  }                                                                                               \
  __attribute__((target(TARGET))) void NAME##_backward(const AttentionBackward& a, int64_t begin, \
                                                       int64_t end, float* scratch) {             \
    backward_heads<__VA_ARGS__>(a, begin, end, scratch);                                          \
  }
FATHOM_TILED(v4, "arch=x86-64-v4", Tile<16, 6, 4>)
FATHOM_TILED(v3, "arch=x86-64-v3", Tile<8, 6, 2>)
#undef FATHOM_TILED

bool has_v3() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool has_v4() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

}  // namespace

int64_t attention_scratch(const AttentionShape& shape) {
  const Padded n(shape);
  Arena forward{nullptr}, backward{nullptr};
  const ForwardScratch of_forward(n, forward);
  const BackwardScratch of_backward(n, backward);
  return std::max(forward.used, backward.used);
}

std::vector<AttentionTiles> attention_tiles() {
  std::vector<AttentionTiles> all;
  if (has_v4()) all.push_back({"x86-64-v4", &v4_forward, &v4_backward});
  if (has_v3()) all.push_back({"x86-64-v3", &v3_forward, &v3_backward});
  return all;
}

}  // namespace fathom
