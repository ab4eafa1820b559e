// What attention and its gradient share: the check of a call, which keys a position attends to, and products
// of the matrices of one head.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/calls.h"
#include "wisemerge/dtype.h"

namespace wisemerge::cpu {

inline size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

inline WmMatrix f32_matrix(const float* data, uint64_t row_stride, uint64_t column_stride) {
  return {static_cast<int32_t>(DType::kF32), data, row_stride, column_stride};
}

inline WmCode check_attention(const WmAttention& call, WmError* error) {
  const uint64_t limit = uint64_t{1} << 31;
  if (call.batch > limit || call.tokens > limit || call.heads > limit || call.head_dim > limit ||
      call.kv_heads == 0 || call.head_dim == 0 || call.heads % call.kv_heads != 0) {
    return fail(error, WM_INVALID_ARGUMENT, "attention: %llu heads of %llu on %llu heads of keys",
                static_cast<unsigned long long>(call.heads), static_cast<unsigned long long>(call.head_dim),
                static_cast<unsigned long long>(call.kv_heads));
  }
  const uint64_t width = call.heads * call.head_dim, kv_width = call.kv_heads * call.head_dim;
  if (call.q_stride < width || call.out_stride < width || call.k_stride < kv_width ||
      call.v_stride < kv_width) {
    return fail(error, WM_INVALID_ARGUMENT, "attention: rows overlap");
  }
  if (!std::isfinite(call.scale))
    return fail(error, WM_INVALID_ARGUMENT, "attention: scale is %g", static_cast<double>(call.scale));
  if (call.batch * call.tokens * call.heads > 0 && (!call.q || !call.k || !call.v || !call.out)) {
    return fail(error, WM_INVALID_ARGUMENT, "attention: q, k, v or out is null");
  }
  return WM_OK;
}

// -infinity in the scores of keys [first, first + count) that position i does not attend to, and in the
// padding behind them. `mask` is that of the sequence, or null.
inline void leave_out(const WmAttention& call, const int32_t* mask, size_t i, size_t first, size_t count,
                      size_t padded, float* row) {
  constexpr float kOut = -std::numeric_limits<float>::infinity();
  for (size_t j = count; j < padded; j++) row[j] = kOut;
  if (call.causal && i < first + count) {
    for (size_t j = i < first ? 0 : i + 1 - first; j < count; j++) row[j] = kOut;
  }
  if (call.window && i + 1 > call.window) {
    const size_t begin = i + 1 - call.window;
    for (size_t j = first; j < std::min(begin, first + count); j++) row[j - first] = kOut;
  }
  if (mask) {
    for (size_t j = 0; j < count; j++) row[j] = mask[first + j] != 0 ? row[j] : kOut;
  }
}

// Products by the tiles of a matrix product (matmul.inl). Left operands are read where they lie, right ones
// packed.
class HeadProducts {
 public:
  // `tail` has tile_rows floats for each element of the longest row of a left operand.
  HeadProducts(const Kernels& kernels, float* tail) : kernels_(kernels), tail_(tail) {}

  // `rows` rows of a right operand in tiles, each [depth, tile_columns].
  void pack(const WmMatrix& from, size_t rows, size_t depth, float* to) const {
    const size_t wide = kernels_.tile_columns;
    for (size_t j = 0; j < rows; j += wide) {
      kernels_.matmul_pack(from, nullptr, 0, j, std::min(wide, rows - j), 0, depth, wide, to + j * depth);
    }
  }

  // c = a w^T, or c += where `start` is null, with w packed.
  void multiply(const WmMatrix& a, const float* w, size_t rows, size_t columns, size_t depth,
                const float* start, float* c, size_t stride) const {
    const size_t high = kernels_.tile_rows, wide = kernels_.tile_columns, whole = rows / high * high;
    if (whole < rows) kernels_.matmul_pack(a, nullptr, 0, whole, rows - whole, 0, depth, high, tail_);
    for (size_t i = 0; i < rows; i += high) {
      const bool in_place = i < whole;
      const float* const from = in_place ? static_cast<const float*>(a.data) + i * a.row_stride : tail_;
      for (size_t j = 0; j < columns; j += wide) {
        kernels_.matmul_tile(from, in_place ? a.row_stride : 1, in_place ? a.column_stride : high,
                             w + j * depth, depth, start, c + i * stride + j, stride,
                             std::min(high, rows - i), std::min(wide, columns - j));
      }
    }
  }

 private:
  const Kernels& kernels_;
  float* const tail_;
};

}  // namespace wisemerge::cpu
