// The matrix product with interpolation on the way into shared memory: weights of one alpha never exist in
// device memory. A block computes a tile of the output, going through the depth a few steps at a time; each
// thread keeps 8 x 8 elements in registers.
//
// Every element is one chain of f32 fused multiply-adds in ascending depth from the bias on, as on the CPU.
#pragma once

#include "cuda/kernels/half.h"
#include "cuda/kernels/pack.h"
#include "wisemerge/lerp.h"

namespace wisemerge::cuda {

// F32, F16 or BF16 in device memory: element (i, j) at data + i * row_stride + j * column_stride elements,
// one of the strides 1.
struct MatmulOperand {
  const void* data;
  uint64_t row_stride, column_stride;
  DType dtype;
};

// out[i][j] = bias[j] + sum over l < k of a[i][l] * lerp(w0, w1, alpha)[j][l]
struct Matmul {
  uint32_t m, n, k;
  MatmulOperand a, w0, w1;  // m x k, n x k, n x k; w1.data null: w0 as it is
  float alpha;              // neither 0 nor 1 where there is a w1
  const float* bias;        // [n]; null: 0
  float* out;               // rows of out_stride
  uint64_t out_stride;
};

inline constexpr uint32_t kMatmulThreads = 256;
inline constexpr uint32_t kMatmulTile = 128;  // rows and columns
inline constexpr uint32_t kMatmulDepth = 8;   // steps between two exchanges of shared memory
inline constexpr uint32_t kMatmulQuad = 4;    // elements a thread fetches or reads at once
// Rows of shared memory, padded so that the threads of a warp that store four steps of 16 lines each meet
// different banks.
inline constexpr uint32_t kMatmulPitch = kMatmulTile + 4;
static_assert(kMatmulThreads * kMatmulQuad == kMatmulTile * kMatmulDepth, "one quad per thread and operand");

struct MatmulShared {
  alignas(16) float a[kMatmulDepth][kMatmulPitch];
  alignas(16) float w[kMatmulDepth][kMatmulPitch];
};

// Where a thread's quad lies in the tile: along the depth or along the lines, whichever is contiguous in
// memory.
struct MatmulQuad {
  uint32_t line, step;
  bool along_depth;
};

WM_HD MatmulQuad matmul_quad(const MatmulOperand& x, uint32_t thread) {
  constexpr uint32_t kQuadsPerLine = kMatmulDepth / kMatmulQuad, kQuadsPerStep = kMatmulTile / kMatmulQuad;
  if (x.column_stride == 1) {
    return {thread / kQuadsPerLine, thread % kQuadsPerLine * kMatmulQuad, true};
  }
  return {thread % kQuadsPerStep * kMatmulQuad, thread / kQuadsPerStep, false};
}

// Four consecutive elements as stored, the 16-bit ones two to a word: they stay in registers, untouched,
// while the steps before theirs are multiplied, so that nobody waits for memory.
struct StoredQuad {
  uint32_t words[kMatmulQuad];
};

template <class Bits>
WM_HD void load_quad(const void* data, uint64_t at, uint32_t valid, uint32_t pad, StoredQuad& to) {
  const Bits* const from = static_cast<const Bits*>(data) + at;
  constexpr uint32_t kPerWord = sizeof(uint32_t) / sizeof(Bits), kWords = kMatmulQuad / kPerWord;
  if (valid == kMatmulQuad && pack_aligned<kMatmulQuad>(from)) {
    const auto pack = load_cached<kMatmulQuad>(from);
    memcpy(to.words, &pack, sizeof(pack));
    return;
  }
  WM_UNROLL
  for (uint32_t word = 0; word < kWords; word++) {
    to.words[word] = 0;
    WM_UNROLL
    for (uint32_t i = 0; i < kPerWord; i++) {
      const uint32_t e = word * kPerWord + i;
      const uint32_t bits = e < valid ? from[e] : pad;
      to.words[word] |= bits << (i * 8 * static_cast<uint32_t>(sizeof(Bits)) % 32);
    }
  }
}

// The quad of an operand of `lines` x `depth` whose tile starts at (line, step). What lies outside is 0, or
// -0 if `negative`.
WM_HD void fetch_quad(const MatmulOperand& x, const MatmulQuad& quad, uint32_t lines, uint32_t depth,
                      uint32_t line, uint32_t step, bool negative, StoredQuad& to) {
  const uint32_t i = line + quad.line, l = step + quad.step;
  const uint32_t left = quad.along_depth ? depth - l : lines - i;
  uint32_t valid = left < kMatmulQuad ? left : kMatmulQuad;
  if (i >= lines || l >= depth) valid = 0;
  const uint64_t at = valid ? i * x.row_stride + l * x.column_stride : 0;
  if (x.dtype == DType::kF32) {
    load_quad<uint32_t>(x.data, at, valid, negative ? 0x80000000u : 0u, to);
  } else {
    load_quad<uint16_t>(x.data, at, valid, negative ? 0x8000u : 0u, to);
  }
}

WM_HD void widen_quad(DType dtype, const StoredQuad& quad, float* to) {
  WM_UNROLL
  for (uint32_t i = 0; i < kMatmulQuad; i++) {
    const uint16_t half = static_cast<uint16_t>(quad.words[i / 2] >> (i % 2 * 16));
    to[i] = dtype == DType::kF32    ? bit_cast<float>(quad.words[i])
            : dtype == DType::kBF16 ? bf16_to_f32(half)
                                    : Half<DType::kF16>::widen(half);
  }
}

// An element of the weights at alpha, as the CPU's packing makes it.
WM_HD float matmul_weight(float x, float y, float alpha) {
  return same_bits<uint32_t>(x, y) ? x : lerp_f32(x, y, alpha);
}

WM_HD void widen_weights(const Matmul& call, const StoredQuad& w0, const StoredQuad& w1, float* to) {
  widen_quad(call.w0.dtype, w0, to);
  if (!call.w1.data) return;
  float y[kMatmulQuad];
  widen_quad(call.w1.dtype, w1, y);
  WM_UNROLL
  for (uint32_t i = 0; i < kMatmulQuad; i++) to[i] = matmul_weight(to[i], y[i], call.alpha);
}

// Four aligned numbers by one access.
WM_HD void store_quad(float* to, const float* from) {
  require_aligned(to, kMatmulQuad * sizeof(float));
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
#else
  for (uint32_t i = 0; i < kMatmulQuad; i++) to[i] = from[i];
#endif
}

WM_HD void place_quad(float (*shared)[kMatmulPitch], const MatmulQuad& quad, const float* from) {
  if (!quad.along_depth) return store_quad(shared[quad.step] + quad.line, from);
  WM_UNROLL
  for (uint32_t i = 0; i < kMatmulQuad; i++) shared[quad.step + i][quad.line] = from[i];
}

// The rows (or columns) of the tile that a thread computes: two quads, half a tile apart, so that the threads
// of a warp read neighbouring quads of shared memory.
WM_HD uint32_t matmul_line(uint32_t position, uint32_t i) {
  return i / kMatmulQuad * (kMatmulTile / 2) + position * kMatmulQuad + i % kMatmulQuad;
}

// One thread of one tile.
struct MatmulThread {
  static constexpr uint32_t kLines = 2 * kMatmulQuad;
  static constexpr uint32_t kColumns = kMatmulTile / kLines;  // threads side by side

  const Matmul& call;
  uint32_t row, column, thread;  // the tile's first row and column
  float sums[kLines][kLines];
  StoredQuad a, w0, w1 = {};  // on their way to shared memory

  // Tile `tile` of the output, tiles of the same columns together.
  WM_HD MatmulThread(const Matmul& matmul, uint32_t tile, uint32_t number) : call(matmul), thread(number) {
    const uint32_t tile_rows = (call.m + kMatmulTile - 1) / kMatmulTile;
    row = tile % tile_rows * kMatmulTile;
    column = tile / tile_rows * kMatmulTile;
    WM_UNROLL
    for (uint32_t j = 0; j < kLines; j++) {
      const uint32_t at = column + matmul_line(thread % kColumns, j);
      const float start = call.bias && at < call.n ? call.bias[at] : 0;
      WM_UNROLL
      for (uint32_t i = 0; i < kLines; i++) sums[i][j] = start;
    }
  }

  // Past the depth, -0 * +0 = -0 leaves any sum as it is, -0 included.
  WM_HD void fetch(uint32_t step) {
    fetch_quad(call.a, matmul_quad(call.a, thread), call.m, call.k, row, step, true, a);
    const MatmulQuad quad = matmul_quad(call.w0, thread);
    fetch_quad(call.w0, quad, call.n, call.k, column, step, false, w0);
    if (call.w1.data) fetch_quad(call.w1, quad, call.n, call.k, column, step, false, w1);
  }

  WM_HD void store(MatmulShared& shared) const {
    float x[kMatmulQuad];
    widen_quad(call.a.dtype, a, x);
    place_quad(shared.a, matmul_quad(call.a, thread), x);
    widen_weights(call, w0, w1, x);
    place_quad(shared.w, matmul_quad(call.w0, thread), x);
  }

  WM_HD void multiply(const MatmulShared& shared) {
    WM_UNROLL
    for (uint32_t l = 0; l < kMatmulDepth; l++) {
      float rows[kLines], columns[kLines];
      WM_UNROLL
      for (uint32_t i = 0; i < kLines; i += kMatmulQuad) {
        read_quad(shared.a[l] + matmul_line(thread / kColumns, i), rows + i);
        read_quad(shared.w[l] + matmul_line(thread % kColumns, i), columns + i);
      }
      WM_UNROLL
      for (uint32_t i = 0; i < kLines; i++) {
        WM_UNROLL
        for (uint32_t j = 0; j < kLines; j++) sums[i][j] = fmaf(rows[i], columns[j], sums[i][j]);
      }
    }
  }

  WM_HD void write() const {
    WM_UNROLL
    for (uint32_t i = 0; i < kLines; i++) {
      const uint32_t at = row + matmul_line(thread / kColumns, i);
      if (at >= call.m) continue;
      WM_UNROLL
      for (uint32_t j = 0; j < kLines; j++) {
        const uint32_t to = column + matmul_line(thread % kColumns, j);
        if (to < call.n) call.out[at * call.out_stride + to] = sums[i][j];
      }
    }
  }

  // One access of 16 bytes: the pitch and matmul_line keep the alignment.
  WM_HD static void read_quad(const float* from, float* to) {
    require_aligned(from, kMatmulQuad * sizeof(float));
#if defined(__CUDA_ARCH__)
    const float4 quad = *reinterpret_cast<const float4*>(from);
    to[0] = quad.x, to[1] = quad.y, to[2] = quad.z, to[3] = quad.w;
#else
    for (uint32_t i = 0; i < kMatmulQuad; i++) to[i] = from[i];
#endif
  }
};

WM_HD uint64_t matmul_tiles(const Matmul& call) {
  const uint64_t rows = (uint64_t{call.m} + kMatmulTile - 1) / kMatmulTile;
  return rows * ((uint64_t{call.n} + kMatmulTile - 1) / kMatmulTile);
}

}  // namespace wisemerge::cuda
