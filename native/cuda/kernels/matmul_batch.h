// Products of one shape, one for each item: of the heads of all sequences, or a single one. A product may go
// on with what its result holds, as one more part of the same chains.
#pragma once

#include "cuda/kernels/matmul.h"

namespace wisemerge::cuda {

struct MatmulBatch {
  // Elements from an operand of one sequence, head and item to the next.
  struct Steps {
    uint64_t sequence, head, item;
  };

  Matmul product;  // of sequence 0, head 0 and item 0; all F32, without w1 and bias
  Steps a, w, out;
  uint32_t first, items;  // heads of all sequences, numbered through
  uint32_t heads;         // of a sequence
  bool add;               // to what `out` holds

  WM_HD Matmul at(uint32_t item) const {
    const uint64_t number = uint64_t{first} + item, sequence = number / heads, head = number % heads;
    const auto offset = [&](const Steps& steps) {
      return sequence * steps.sequence + head * steps.head + item * steps.item;
    };
    Matmul one = product;
    one.a.data = static_cast<const float*>(product.a.data) + offset(a);
    one.w0.data = static_cast<const float*>(product.w0.data) + offset(w);
    one.out = product.out + offset(out);
    return one;
  }
};

// Sums that begin with what lies in `out`.
WM_HD void resume_sums(MatmulThread& tile) {
  constexpr uint32_t kLines = MatmulThread::kLines;
  WM_UNROLL
  for (uint32_t i = 0; i < kLines; i++) {
    const uint32_t row = tile.row + matmul_line(tile.thread / MatmulThread::kColumns, i);
    WM_UNROLL
    for (uint32_t j = 0; j < kLines; j++) {
      const uint32_t column = tile.column + matmul_line(tile.thread % MatmulThread::kColumns, j);
      const bool there = row < tile.call.m && column < tile.call.n;
      tile.sums[i][j] = there ? tile.call.out[row * tile.call.out_stride + column] : 0;
    }
  }
}

}  // namespace wisemerge::cuda
