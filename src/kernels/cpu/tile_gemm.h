// Matrix products on tiles that lie in a cache, for triangles: each group of rows says which part
// of the sum and how many columns it needs. The sums of a tile stay in registers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "vector_math.h"

namespace fathom {

/// What fits the registers of an instruction set: a vector of `lanes` floats, and sums for `rows`
/// rows of up to `vectors` vectors.
template <int kLanesOfVector, int kRows, int kVectors>
struct Tile {
  static constexpr int lanes = kLanesOfVector, rows = kRows, vectors = kVectors;
  typedef float Vector __attribute__((vector_size(kLanesOfVector * sizeof(float))));
};

/// The left matrix, of any strides: its numbers are read one by one.
struct Left {
  const float* data;
  int64_t row, step;  // from row to row, and along the sum
};

/// Rows of whole vectors.
struct Right {
  const float* data;
  int64_t step;
};
struct Product {
  float* data;
  int64_t row;
};

/// What a group of rows needs: the terms [begin, end) of the sum, and columns.
struct Extent {
  int64_t begin, end, vectors;
};

template <typename T, int kVectors, bool kAdd>
FATHOM_INLINE void multiply_tile(const Left& a, const Right& b, const Product& c,
                                 const Extent& extent) {
  using Vector = typename T::Vector;
  Vector sums[T::rows][kVectors] = {};
  if constexpr (kAdd)
    for (int r = 0; r < T::rows; ++r)
      for (int v = 0; v < kVectors; ++v)
        std::memcpy(&sums[r][v], c.data + r * c.row + v * T::lanes, sizeof(Vector));
  for (int64_t k = extent.begin; k < extent.end; ++k) {
    Vector right[kVectors];
    for (int v = 0; v < kVectors; ++v)
      std::memcpy(&right[v], b.data + k * b.step + v * T::lanes, sizeof(Vector));
    for (int r = 0; r < T::rows; ++r) {
      const float left = a.data[r * a.row + k * a.step];
      for (int v = 0; v < kVectors; ++v) sums[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < T::rows; ++r)
    for (int v = 0; v < kVectors; ++v)
      std::memcpy(c.data + r * c.row + v * T::lanes, &sums[r][v], sizeof(Vector));
}

/// The tile of `vectors` vectors, none where that is not positive.
template <typename T, bool kAdd, int kVectors = T::vectors>
FATHOM_INLINE void multiply_tile_of(int64_t vectors, const Left& a, const Right& b,
                                    const Product& c, const Extent& extent) {
  if (vectors >= kVectors) {
    multiply_tile<T, kVectors, kAdd>(a, b, c, extent);
  } else if constexpr (kVectors > 1) {
    multiply_tile_of<T, kAdd, kVectors - 1>(vectors, a, b, c, extent);
  }
}

/// C = A B, or C += A B, on `rows` rows, a multiple of T::rows, and `vectors` vectors.
/// @param extent_of an Extent for the group of rows that begins at its argument
template <typename T, bool kAdd, typename ExtentOf>
FATHOM_INLINE void multiply(int64_t rows, int64_t vectors, const Left& a, const Right& b,
                            const Product& c, const ExtentOf& extent_of) {
  for (int64_t from = 0; from < vectors; from += T::vectors) {
    const int64_t column = from * T::lanes;
    for (int64_t row = 0; row < rows; row += T::rows) {
      const Extent extent = extent_of(row);
      multiply_tile_of<T, kAdd>(extent.vectors - from, {a.data + row * a.row, a.row, a.step},
                                {b.data + column, b.step}, {c.data + row * c.row + column, c.row},
                                extent);
    }
  }
}

}  // namespace fathom
