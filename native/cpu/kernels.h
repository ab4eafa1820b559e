// What one SIMD level offers to the backend. Each level is one translation unit that compiles kernels.inl for
// its instruction set inside a namespace of its own; dispatch.cc picks one at run time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wisemerge/alpha_runs.h"
#include "wisemerge/backend.h"
#include "wisemerge/head_sums.h"
#include "wisemerge/interval.h"
#include "wisemerge/lane_sum.h"
#include "wisemerge/network_functions.h"

#define WM_FORCE_INLINE inline __attribute__((always_inline))
#define WM_NO_INLINE __attribute__((noinline))
#define WM_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

namespace wisemerge::cpu {

inline constexpr uint32_t kMaxAlphas = 64;

// Of one row: the mean and 1 / sqrt(variance + epsilon), with the biased variance.
struct RowMoments {
  float mean, scale;
};

struct Kernels {
  const char* isa;  // "baseline", "avx2", "avx512"

  // Elements [begin, end) of every output of `item`, at most kMaxAlphas; adds to non_finite[k], which belongs
  // to the caller's tile. `stream` writes past the caches: for outputs that nobody reads before they would be
  // evicted.
  void (*lerp)(const WmLerp& item, size_t begin, size_t end, bool stream, uint64_t* non_finite);

  // Fills sums[span] of `item`.
  void (*compare)(const WmCompare& item, size_t span);

  // Adds 64-byte stripes to the 8 lanes of XXH3; `secret` has 56 + 8 * stripes bytes.
  void (*xxh3_accumulate)(uint64_t* lanes, const uint8_t* in, const uint8_t* secret, size_t stripes);
  // Adds blocks of 16 stripes and scrambles after each; `secret` has 192 bytes.
  void (*xxh3_blocks)(uint64_t* lanes, const uint8_t* in, const uint8_t* secret, size_t blocks);

  // Parts of a matrix product (matmul.inl), and the tile they work on.
  size_t tile_rows, tile_columns;
  void (*matmul_pack)(const WmMatrix& x, const WmMatrix* y, float alpha, size_t row, size_t rows,
                      size_t column, size_t depth, size_t width, float* out);
  void (*matmul_tile)(const float* a, size_t a_row, size_t a_column, const float* w, size_t depth,
                      const float* start, float* c, size_t stride, size_t rows, size_t columns);

  // One sample of WmPath, WmHeadMetrics and WmHeadMoments (head_path.inl, head_metrics.inl). `scratch` has
  // head_scratch(classes) floats.
  void (*head_path)(const float* z0, const float* z1, size_t classes, int32_t label, double from, double to,
                    double* lo, double* hi, uint8_t* open);
  void (*head_metrics)(const float* z0, const float* z1, size_t classes, int32_t label, const float* alphas,
                       const AlphaRun* runs, size_t run_count, float step, const uint8_t* correct,
                       float* scratch, SampleMetrics* out);
  void (*head_moments)(const float* z0, const float* z1, size_t classes, int32_t label, float b, float g,
                       float* scratch, double* sums);
  // One sample of WmHeadOutputs (head_outputs.inl), with the same scratch.
  void (*head_outputs)(const float* z0, const float* z1, size_t classes, int32_t label, double alpha,
                       float* scratch, double* out);

  // One row of scores of a block of keys (attention.inl).
  float (*attention_row)(float* scores, size_t count, float scale, float* max, float* sum);

  // Element-wise functions of networks and passes over rows of `width` (passes.inl); those over columns, from
  // `begin` to `end`, add up in ascending order of the rows. Results may lie over what they are made of.
  void (*activate)(network::Activation kind, const float* x, const float* gate, size_t count, float* out);
  void (*activate_backward)(network::Activation kind, const float* x, const float* dy, size_t count,
                            float* dx);
  void (*add_floats)(const float* x, const float* y, size_t count, float* out);
  RowMoments (*row_moments)(const float* x, size_t width, float epsilon);
  void (*layer_norm_row)(const float* x, size_t width, const float* weight, const float* bias, float epsilon,
                         float* out);
  void (*layer_norm_row_backward)(const float* x, const float* dy, size_t width, const float* weight,
                                  const RowMoments& moments, float* dx);
  void (*layer_norm_weight_gradient)(const float* x, const float* dy, const RowMoments* moments, size_t rows,
                                     size_t width, size_t begin, size_t end, float* out);
  void (*column_sums)(const float* x, size_t rows, size_t width, size_t begin, size_t end, float* out);

  // Parts of the calls of merging many models (merge_*.inl), by elements of the range. Each has temporary
  // memory of merge_scratch(models) floats, and what is named with it.
  // Adds to the table; `alone` says that no other thread does. kMergeCounters floats more.
  void (*merge_count)(const WmMergeCount& call, size_t begin, size_t end, bool alone, float* scratch);
  // One span; kMergeSumScratch floats per model more.
  void (*merge_sums)(const WmMergeSums& call, size_t begin, size_t end, double* to, float* scratch);
  // One span or row, or up to kMergeTile columns of all rows; merge_gram_scratch of the models and the
  // columns more.
  void (*merge_gram)(const WmMergeGram& call, size_t begin, size_t end, double* sums, float* scratch);
  void (*merge_gram_columns)(const WmMergeGram& call, size_t begin, size_t end, float* scratch);
  // Adds to the caller's own counts.
  void (*merge_overlap)(const WmMergeOverlap& call, size_t begin, size_t end, uint64_t* counts,
                        float* scratch);
  // Sets bits of one row in a mask of zeros; merge_rank_scratch(row) more.
  void (*merge_rank_mask)(const WmMergeRankMask& call, size_t row, float* scratch);
  void (*merge_divergence)(const WmMergeDivergence& call, size_t row, float* scratch);
  // Returns the number of outputs that are not finite.
  uint64_t (*merge_combine)(const WmMergeCombine& call, size_t begin, size_t end, float* scratch);
};

// The table of one level, whose kernels are in namespace `level`.
#define WM_KERNELS(isa, level)                                                                              \
  {                                                                                                         \
    isa, level::lerp, level::compare, level::xxh3_accumulate, level::xxh3_blocks, level::kTileRows,         \
        level::kTileColumns, level::matmul_pack, level::matmul_tile, level::head_path, level::head_metrics, \
        level::head_moments, level::head_outputs, level::attention_row, level::activate,                    \
        level::activate_backward, level::add_floats, level::row_moments, level::layer_norm_row,             \
        level::layer_norm_row_backward, level::layer_norm_weight_gradient, level::column_sums,              \
        level::merge_count, level::merge_sums, level::merge_gram, level::merge_gram_columns,                \
        level::merge_overlap, level::merge_rank_mask, level::merge_divergence, level::merge_combine         \
  }

// Elements of a tile, and from one model's tile to the next's: 21 lines more than a power of two, so that no
// load soon after a store to another tile has its lower 12 bits of address and waits for it. f64 for all is
// room for either type.
inline constexpr size_t kMergeTile = 1024, kMergeStride = kMergeTile + 336;
inline size_t merge_scratch(size_t models) { return (models + 8) * kMergeStride * 2; }
inline constexpr size_t kMergeCounters = 8 * ((1u << 15) + 16 * 17);
inline constexpr size_t kMergeSumScratch = 104;
inline size_t merge_gram_scratch(size_t models, size_t columns) {
  return models * (models + 1) * (columns > 16 ? columns : 16);
}
inline size_t merge_rank_scratch(size_t row) { return 9 * row + 256; }

inline size_t head_scratch(size_t classes) { return 4 * ((classes + 15) / 16 * 16); }

// Null when the build's architecture has no such level. Asking is safe on any CPU; calling a kernel is not.
const Kernels* baseline_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

// The best level that this CPU runs and that is not above `limit` (null: no limit). Null for an unknown name.
const Kernels* select_kernels(const char* limit);

// Model name of the CPU, NUL-terminated, cut to `size` bytes.
void cpu_name(char* name, size_t size);

}  // namespace wisemerge::cpu
