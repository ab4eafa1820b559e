// WmMergeGram: inner products of all pairs of deltas, in f64. Along spans and rows a block takes four models
// by four, a thread for each lane of a pair; down the columns a thread takes one pair in one column.
#pragma once

#include "cuda/kernels/merge_sums.h"

namespace wisemerge::cuda {

struct MergeGram {
  MergeChunk chunk;
  MergeUnits units;
  double* sums;  // [unit][pair]
};

inline constexpr uint32_t kGramModels = 4;
inline constexpr uint32_t kGramThreads = kGramModels * kGramModels * kMergeLanes;
static_assert(2 * kGramModels == kSumModels);
struct GramShared {
  SumRow d[kSumModels];  // of both groups; of one where it meets itself
};

WM_HD uint64_t pair_count(uint32_t models) { return uint64_t{models} * (models + 1) / 2; }
// Of i <= j, in the order (0,0) (0,1) .. (1,1) ..
WM_HD uint64_t pair_index(uint32_t i, uint32_t j, uint32_t models) {
  return uint64_t{i} * models - pair_count(i) + j;
}
// The pair of an index.
struct ModelPair {
  uint32_t i, j;
};
WM_HD ModelPair pair_at(uint64_t index, uint32_t models) {
  uint32_t i = 0;
  for (; index >= models - i; i++) index -= models - i;
  return {i, i + static_cast<uint32_t>(index)};
}

WM_HD uint32_t gram_groups(const MergeChunk& chunk) { return (chunk.models + kGramModels - 1) / kGramModels; }
// Blocks' worth of work in a unit.
WM_HD uint64_t gram_tiles(const MergeChunk& chunk) { return pair_count(gram_groups(chunk)); }

struct GramTile {
  uint32_t first_i, first_j;
  WM_HD bool diagonal() const { return first_i == first_j; }
  WM_HD uint32_t i(uint32_t thread) const { return first_i + thread / kMergeLanes / kGramModels; }
  WM_HD uint32_t j(uint32_t thread) const { return first_j + thread / kMergeLanes % kGramModels; }
  // Where shared memory has them.
  WM_HD uint32_t row_i(uint32_t thread) const { return i(thread) - first_i; }
  WM_HD uint32_t row_j(uint32_t thread) const { return j(thread) - first_j + (diagonal() ? 0 : kGramModels); }
};

template <class Scalar>
WM_HD void gram_stage(const MergeChunk& chunk, const GramTile& tile, uint64_t e, uint32_t n, uint32_t thread,
                      GramShared& shared) {
  const uint32_t rows = tile.diagonal() ? kGramModels : 2 * kGramModels;
  for (uint32_t task = thread; task < rows * kSumPacks; task += kGramThreads) {
    const uint32_t row = task / kSumPacks, begin = task % kSumPacks * kMergePack;
    const uint32_t model = row < kGramModels ? tile.first_i + row : tile.first_j + row - kGramModels;
    if (model >= chunk.models || begin >= n) continue;
    stage_pack<Scalar>(chunk, model, e + begin, pack_size(n, begin), begin, shared.d[row]);
  }
}

// Tile `work % tiles` of the pairs over unit `work / tiles`.
template <class Scalar, class Block>
WM_HD void gram_block(const Block& block, const MergeGram& call, uint64_t work, GramShared& shared) {
  const MergeChunk& chunk = call.chunk;
  const uint64_t tiles = gram_tiles(chunk), unit = work / tiles, begin = call.units.begin(unit);
  const uint64_t length = call.units.size(unit, chunk.count);
  const ModelPair groups = pair_at(work % tiles, gram_groups(chunk));
  const GramTile tile = {groups.i * kGramModels, groups.j * kGramModels};
  const auto wanted = [&](uint32_t thread) {
    return tile.i(thread) <= tile.j(thread) && tile.j(thread) < chunk.models;
  };
  typename Block::template Own<double> own(block, 0.0);
  for (uint64_t at = 0; at < length; at += kSumTile) {
    const uint32_t n = length - at < kSumTile ? static_cast<uint32_t>(length - at) : kSumTile;
    block([&](uint32_t thread) { gram_stage<Scalar>(chunk, tile, begin + at, n, thread, shared); });
    block([&](uint32_t thread) {
      if (!wanted(thread)) return;
      SumRow &a = shared.d[tile.row_i(thread)], &b = shared.d[tile.row_j(thread)];
      double sum = own[thread];
      for (uint32_t e = thread % kMergeLanes; e < n; e += kMergeLanes) sum = fma(a[e], b[e], sum);
      own[thread] = sum;
    });
  }
  // The tiles' memory takes the lanes.
  double* const lanes = shared.d[0].at;
  block([&](uint32_t thread) { lanes[thread] = own[thread]; });
  block([&](uint32_t thread) {
    if (thread % kMergeLanes != 0 || !wanted(thread)) return;
    call.sums[unit * pair_count(chunk.models) + pair_index(tile.i(thread), tile.j(thread), chunk.models)] =
        fold_lanes(lanes + thread);
  });
}

// Columns [first, first + columns) of rows that begin `stride` elements apart in the chunk.
struct MergeColumns {
  MergeChunk chunk;
  uint64_t rows, stride, first, columns;
  const double* before;  // [column][pair]: sums over the rows before
  double* after;
};

inline constexpr uint32_t kColumnThreads = 128;

// Any threads, any grid. Neighbours in a warp have neighbouring columns.
template <class Scalar>
WM_HD void columns_body(const GridPosition& at, const MergeColumns& call) {
  const MergeChunk& chunk = call.chunk;
  const uint64_t pairs = pair_count(chunk.models), units = pairs * call.columns;
  const uint64_t step = uint64_t{at.blocks} * at.threads;
  for (uint64_t unit = uint64_t{at.block} * at.threads + at.thread; unit < units; unit += step) {
    const uint64_t pair = unit / call.columns, column = unit % call.columns;
    const ModelPair models = pair_at(pair, chunk.models);
    double sum = call.before[column * pairs + pair];
    for (uint64_t row = 0; row < call.rows; row += kMergePack) {
      const uint32_t n = pack_size(call.rows, row);
      const uint64_t e = row * call.stride + call.first + column;
      Scalar base[kMergePack] = {}, a[kMergePack] = {}, b[kMergePack] = {};
      WM_NO_UNROLL
      for (uint32_t turn = chunk.base.data ? 0 : 1; turn < 3; turn++) {  // base, i, j
        copy_values(b, a);
        const uint32_t input = turn == 0 ? 0 : 1 + (turn == 1 ? models.i : models.j);
        load_values(input_of(chunk, input), e, call.stride, n, b);
        if (turn == 0) {
          copy_values(b, base);
        } else if (chunk.base.data) {
          to_deltas(b, base);
        }
      }
      WM_UNROLL
      for (uint32_t i = 0; i < kMergePack; i++) {
        if (i < n) sum = fma(static_cast<double>(a[i]), static_cast<double>(b[i]), sum);
      }
    }
    call.after[column * pairs + pair] = sum;
  }
}

}  // namespace wisemerge::cuda
