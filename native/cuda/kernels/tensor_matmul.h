// The matrix product by tensor cores: f32 numbers as sums of two bf16 parts, x = high + low, and
//
//   a w = high high + high low + low high + (low low, left out)
//
// with f32 sums (Henry, Tang and Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For
// Higher-Precision Computations", 2019, arXiv:1904.06376, section III). Weights are interpolated in f32 on
// the way into shared memory, where both operands lie as their parts. docs/numerics.md derives the bound.
//
// A block computes a tile of 128 x 128 with 8 warps, 64 x 32 each. The tensor cores only sum 16 steps of the
// depth, from zero: they truncate, so longer chains would drift (Ootomo and Yokota, 2022, arXiv:2203.03341).
// Slabs are added in f32 as ever.
#pragma once

#include "cuda/kernels/matmul.h"

namespace wisemerge::cuda {

inline constexpr uint32_t kTensorDepth = 16;  // steps between two exchanges of shared memory
inline constexpr uint32_t kWarpLanes = 32;
inline constexpr uint32_t kTensorRows = 64, kTensorColumns = 32;                             // of a warp
inline constexpr uint32_t kTensorTall = kTensorRows / 16, kTensorWide = kTensorColumns / 8;  // fragments
static_assert(kMatmulTile * kMatmulTile == kMatmulThreads / kWarpLanes * kTensorRows * kTensorColumns);

// The distance of an element from its exact value is at most this times |bias| + sum |a| |w|
// (docs/numerics.md): what two parts leave of a number, what truncation leaves of a slab, and the roundings
// of the sum of slabs.
WM_HD double tensor_matmul_bound(uint64_t depth, bool split_a, bool split_w) {
  const double parts = split_a && split_w ? 0x1p-15 + 0x1p-32 : split_a || split_w ? 0x1p-17 : 0;
  const auto slabs = static_cast<double>((depth + kTensorDepth - 1) / kTensorDepth);
  return parts + 25 * 0x1p-23 + 1.001 * slabs * 0x1p-24;
}

// Numbers that bf16 holds have no low part.
WM_HD bool tensor_splits_a(const Matmul& call) { return call.a.dtype != DType::kBF16; }
WM_HD bool tensor_splits_w(const Matmul& call) { return call.w1.data || call.w0.dtype != DType::kBF16; }

// 16 steps of the tile's lines. Of a line, the two halves of 16 bytes change places in every second group of
// four lines: eight lines' halves, which one phase of ldmatrix reads, then lie in different banks.
using TensorPart = uint16_t[kMatmulTile][kTensorDepth];
struct TensorShared {
  alignas(16) TensorPart a[2], w[2];  // high, low
};

WM_HD uint32_t tensor_place(uint32_t line, uint32_t step) { return step ^ (line / 4 % 2 * 8); }

// Two neighbours in depth: their place is even.
WM_HD void store_pair(uint16_t* to, uint32_t pair) {
  require_aligned(to, sizeof(pair));
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<uint32_t*>(to) = pair;
#else
  memcpy(to, &pair, sizeof(pair));
#endif
}

// Two of a thread's numbers, neighbours in depth, on their way to one word of either part.
WM_HD void store_parts(TensorPart* parts, uint32_t line, uint32_t step, float x, float y, bool split) {
  using Narrow = Half<DType::kBF16>;
  const uint32_t place = tensor_place(line, step), high = Narrow::narrow(x, y);
  store_pair(&parts[0][line][place], high);
  if (!split) return;
  const float x_high = Narrow::widen(static_cast<uint16_t>(high));
  const float y_high = Narrow::widen(static_cast<uint16_t>(high >> 16));
  const uint32_t low = Narrow::narrow(x - x_high, y - y_high);
  store_pair(&parts[1][line][place], low);
}

// One thread's share of bringing operands to shared memory: eight elements of each.
struct TensorStage {
  static constexpr uint32_t kQuads = kMatmulTile * kTensorDepth / kMatmulQuad / kMatmulThreads;
  static_assert(kQuads == 2);

  const Matmul& call;
  uint32_t row, column, thread;  // the tile's first row and column
  StoredQuad a[kQuads], w0[kQuads], w1[kQuads] = {};

  // Tile `tile` of the output, numbered as MatmulThread does.
  WM_HD TensorStage(const Matmul& matmul, uint32_t tile, uint32_t number) : call(matmul), thread(number) {
    const uint32_t tile_rows = (call.m + kMatmulTile - 1) / kMatmulTile;
    row = tile % tile_rows * kMatmulTile;
    column = tile / tile_rows * kMatmulTile;
  }

  // Along the depth, quads of lines 64 apart; across it, quads of the same lines, a step apart: either way a
  // thread has pairs of neighbours in depth.
  WM_HD static MatmulQuad quad(const MatmulOperand& x, uint32_t thread, uint32_t q) {
    if (x.column_stride == 1)
      return {thread / 4 + q * (kMatmulTile / kQuads), thread % 4 * kMatmulQuad, true};
    return {thread / 8 * kMatmulQuad, thread % 8 * 2 + q, false};
  }

  // Past the depth both operands are 0, and so is every product.
  WM_HD void fetch(uint32_t step) {
    WM_UNROLL
    for (uint32_t q = 0; q < kQuads; q++) {
      fetch_quad(call.a, quad(call.a, thread, q), call.m, call.k, row, step, false, a[q]);
      const MatmulQuad of_w = quad(call.w0, thread, q);
      fetch_quad(call.w0, of_w, call.n, call.k, column, step, false, w0[q]);
      if (call.w1.data) fetch_quad(call.w1, of_w, call.n, call.k, column, step, false, w1[q]);
    }
  }

  template <bool SplitA, bool SplitW>
  WM_HD void store(TensorShared& shared) const {
    float x[kQuads][kMatmulQuad];
    WM_UNROLL
    for (uint32_t q = 0; q < kQuads; q++) widen_quad(call.a.dtype, a[q], x[q]);
    store_quads(shared.a, call.a, x, SplitA);
    WM_UNROLL
    for (uint32_t q = 0; q < kQuads; q++) widen_weights(call, w0[q], w1[q], x[q]);
    store_quads(shared.w, call.w0, x, SplitW);
  }

 private:
  WM_HD void store_quads(TensorPart* parts, const MatmulOperand& from, const float (*x)[kMatmulQuad],
                         bool split) const {
    WM_UNROLL
    for (uint32_t i = 0; i < kMatmulQuad; i++) {
      const uint32_t q = i / 2, pair = i % 2 * 2;
      if (from.column_stride == 1) {
        const MatmulQuad at = quad(from, thread, q);
        store_parts(parts, at.line, at.step + pair, x[q][pair], x[q][pair + 1], split);
      } else {
        const MatmulQuad at = quad(from, thread, 0);
        store_parts(parts, at.line + i, at.step, x[0][i], x[1][i], split);
      }
    }
  }
};

WM_HD float matmul_element(const MatmulOperand& x, uint64_t line, uint64_t step) {
  const uint64_t at = line * x.row_stride + step * x.column_stride;
  if (x.dtype == DType::kF32) return static_cast<const float*>(x.data)[at];
  const uint16_t bits = static_cast<const uint16_t*>(x.data)[at];
  return x.dtype == DType::kBF16 ? bf16_to_f32(bits) : Half<DType::kF16>::widen(bits);
}

// One element as MatmulThread computes it.
WM_HD float matmul_chain(const Matmul& call, uint32_t i, uint32_t j) {
  float sum = call.bias ? call.bias[j] : 0;
  for (uint32_t l = 0; l < call.k; l++) {
    float w = matmul_element(call.w0, j, l);
    if (call.w1.data) w = matmul_weight(w, matmul_element(call.w1, j, l), call.alpha);
    sum = fmaf(matmul_element(call.a, i, l), w, sum);
  }
  return sum;
}

// One warp's part of a tile. Warp has the collective operations (warp.h; native/test/host_warp.h for all
// lanes at once): load() of four 8 x 8 matrices, multiply_add() of 16 x 16 by 16 x 8, sums that each lane has
// four of.
template <bool SplitA, bool SplitW, class Warp>
struct TensorProduct {
  const Matmul& call;
  Warp warp;
  uint32_t tile_row, tile_column;  // the warp's first, in the tile
  uint32_t row, column;            // and in the output
  typename Warp::Sums sums[kTensorTall][kTensorWide];

  WM_HD TensorProduct(const TensorStage& stage, uint32_t number, Warp lanes) : call(stage.call), warp(lanes) {
    constexpr uint32_t kAcross = kMatmulTile / kTensorColumns;
    tile_row = number / kAcross * kTensorRows;
    tile_column = number % kAcross * kTensorColumns;
    row = stage.row + tile_row;
    column = stage.column + tile_column;
    each([&](uint32_t, uint32_t at, float& sum) { sum = call.bias && at < call.n ? call.bias[at] : 0; });
  }

  // The small products first: what is truncated is relative to the largest so far.
  WM_HD void multiply(const TensorShared& shared) {
    typename Warp::Words w_high[kTensorWide / 2], w_low[kTensorWide / 2];
    WM_UNROLL
    for (uint32_t j = 0; j < kTensorWide / 2; j++) {
      load_w(w_high[j], shared.w[0], tile_column + j * 16);
      if constexpr (SplitW) load_w(w_low[j], shared.w[1], tile_column + j * 16);
    }
    WM_UNROLL
    for (uint32_t i = 0; i < kTensorTall; i++) {
      typename Warp::Words a_high, a_low;
      typename Warp::Sums slab[kTensorWide] = {};
      load_a(a_high, shared.a[0], tile_row + i * 16);
      if constexpr (SplitA) {
        load_a(a_low, shared.a[1], tile_row + i * 16);
        multiply_row(slab, a_low, w_high);
      }
      if constexpr (SplitW) multiply_row(slab, a_high, w_low);
      multiply_row(slab, a_high, w_high);
      WM_UNROLL
      for (uint32_t j = 0; j < kTensorWide; j++) warp.add(sums[i][j], slab[j]);
    }
  }

  // Infinities, NaN, and numbers that round to an infinite part make a sum that is not finite, and so does
  // overflow: such an element is computed anew, as the f32 product computes it.
  WM_HD void write() {
    bool finite = true;
    each([&](uint32_t i, uint32_t j, const float& sum) {
      if (i >= call.m || j >= call.n) return;
      call.out[i * call.out_stride + j] = sum;
      finite = finite && sum - sum == 0;
    });
    if (finite) return;
    constexpr uint32_t kSums = 4 * kTensorTall * kTensorWide;
    warp.lanes([&](uint32_t lane) {
      for (uint32_t e = 0; e < kSums; e++) {
        const uint32_t i = row_of(lane, e / 4 / kTensorWide, e % 4),
                       j = column_of(lane, e / 4 % kTensorWide, e % 4);
        if (i >= call.m || j >= call.n) continue;
        float& out = call.out[i * call.out_stride + j];
        if (out - out != 0) out = matmul_chain(call, i, j);
      }
    });
  }

 private:
  // ldmatrix takes the address of line l of matrix i from lane 8 i + l. Of `a` the four are the quarters of
  // 16 rows, upper left, lower left, upper right, lower right: one fragment. Of `w`, both halves of 8
  // columns, then of the next 8: two fragments.
  WM_HD void load_a(typename Warp::Words& to, const TensorPart& part, uint32_t line) {
    warp.load(to, [&](uint32_t lane) {
      const uint32_t at = line + lane % 16;
      return &part[at][tensor_place(at, lane / 16 * 8)];
    });
  }
  WM_HD void load_w(typename Warp::Words& to, const TensorPart& part, uint32_t line) {
    warp.load(to, [&](uint32_t lane) {
      const uint32_t at = line + lane / 16 * 8 + lane % 8;
      return &part[at][tensor_place(at, lane / 8 % 2 * 8)];
    });
  }

  WM_HD void multiply_row(typename Warp::Sums* slab, const typename Warp::Words& a,
                          const typename Warp::Words* w) {
    WM_UNROLL
    for (uint32_t j = 0; j < kTensorWide; j++) warp.multiply_add(slab[j], a, w[j / 2], j % 2);
  }

  // Where sum e of a lane lies in the output, of the fragment i down and j across: the PTX ISA's C fragment,
  // groups of four lanes side by side in a row.
  WM_HD uint32_t row_of(uint32_t lane, uint32_t i, uint32_t e) const {
    return row + i * 16 + lane / 4 + e / 2 * 8;
  }
  WM_HD uint32_t column_of(uint32_t lane, uint32_t j, uint32_t e) const {
    return column + j * 8 + lane % 4 * 2 + e % 2;
  }

  // body(row of the output, column, sum) for the elements of this thread.
  template <class Body>
  WM_HD void each(Body body) {
    warp.lanes([&](uint32_t lane) {
      WM_UNROLL
      for (uint32_t i = 0; i < kTensorTall; i++) {
        WM_UNROLL
        for (uint32_t j = 0; j < kTensorWide; j++) {
          WM_UNROLL
          for (uint32_t e = 0; e < 4; e++) {
            body(row_of(lane, i, e), column_of(lane, j, e), warp.at(sums[i][j], lane, e));
          }
        }
      }
    });
  }
};

}  // namespace wisemerge::cuda
