// Screening of a linear head's classes in bf16: logits at several times the speed of f32, each with a bound
// on how far it is from the f32 logit that matmul gives. Most classes never come near the label anywhere on
// the path, and these logits suffice to tell; the others are handed on and computed exactly (head_screen.cc).
//
// The bound. With x' and w' rounded to bf16, Cauchy and Schwarz give
//   |x.w - x'.w'| <= |x - x'| |w| + |x'| |w - w'|.
// A sum of D products in f32 that starts from b and rounds each operation to one of the two neighbours is off
// by at most n u / (1 - n u) (|b| + |x| |w|) for n operations on the way of a term and u = 2^-23, or 2^-24
// where it rounds to nearest (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1).
// matmul rounds D times to nearest; of the bf16 instruction only this much is assumed: at most D + 2
// roundings in any order, and results below 2^-126 that become 0. So the two logits differ by at most
//   |w| (|x - x'| + k |x|) + |w - w'| |x'| + k |b| + tiny,  k = 3.1 (D + 8) 2^-24.
// Norms are f64 sums rounded up to f32. Where one is so large that a sum could overflow it counts as
// infinite, and so does what is not a number: such classes are never screened out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/kernels.h"

namespace wisemerge::cpu {

inline constexpr size_t kMaxScreenRows = 32, kScreenColumns = 32;  // of a tile
// Classes of one sample that are kept before they must be settled, and room for those of one more tile.
inline constexpr size_t kCandidates = 32, kCandidateRoom = kCandidates + kScreenColumns;
// The constants above hold up to here.
inline constexpr size_t kScreenDepth = 1u << 16;

// The classes of a tile. Words hold two features in bf16, the first in the low half: w[pair][class].
struct ScreenPanel {
  const uint32_t *w0, *w1;
  const float *start0, *start1;               // biases
  const float *norm, *norm_error, *constant;  // |w|, |w - w'| and the rest of the bound, larger of both ends
  int32_t first;                              // class
  uint32_t present;                           // bit j is set if class first + j exists
};

// The samples of a tile.
struct ScreenTile {
  float own0[kMaxScreenRows], own1[kMaxScreenRows];         // logits of the label, as matmul computes them
  float by_norm[kMaxScreenRows], by_error[kMaxScreenRows];  // factors of the bound: |x - x'| + k |x|, |x'|
  float lo[kMaxScreenRows], hi[kMaxScreenRows];             // of `interval`
  int32_t label[kMaxScreenRows];
  uint8_t lost[kMaxScreenRows];  // the interval is empty
  uint32_t count[kMaxScreenRows];
  Interval interval[kMaxScreenRows];  // so far
  // Candidates with their screened logits.
  int32_t candidate[kMaxScreenRows][kCandidateRoom];
  float z0[kMaxScreenRows][kCandidateRoom], z1[kMaxScreenRows][kCandidateRoom];
};

struct ScreenKernels {
  const char* isa;  // "avx512bf16", "amx"
  size_t rows;      // samples of a tile
  size_t step;      // pairs of features are padded with zeros to a multiple of this

  // Round from[depth][rows] and from[depth][kScreenColumns] to words, padded, and add the squares of x, x'
  // and x - x' to sums[3][width]. Subnormal numbers become 0. Words of classes are [pair][class], those of
  // samples as `screen` wants them; depth is a multiple of 2 * step or the last part.
  void (*narrow_samples)(const float* from, size_t depth, uint32_t* words, double* sums);
  void (*narrow_classes)(const float* from, size_t depth, uint32_t* words, double* sums);

  // Screens one panel for the first `rows` samples of a tile: notes candidates and lost samples. Bit i of the
  // result is set if sample i has more than kCandidates of them. `allowance` is that of a margin's rounding.
  uint32_t (*screen)(const uint32_t* words, size_t pairs, const ScreenPanel& panel, float allowance,
                     size_t rows, ScreenTile& tile);

  // sums[n] += x.w[n] as one chain of fused multiply-adds each: x0 for the first two, x1 for the others.
  void (*chains)(const float* x0, const float* x1, const float* const* w, size_t depth, float* sums);
};

// The fastest, or the first from `limit` on. Null where the build or this CPU lacks the instructions, or
// `level` is a lower one. Asks Linux for the registers of AMX, which then hold for the process.
const ScreenKernels* select_screen(const Kernels* level, const char* limit = nullptr);

// Null where the compiler lacks them.
const ScreenKernels* amx_screen();
const ScreenKernels* avx512bf16_screen();

}  // namespace wisemerge::cpu
