// WmMergeSums, and what sums along a tensor share. A lane's chain goes from its first element to its last, so
// that there is nothing to gain from more threads than lanes; what a block can do is to bring its tiles to
// shared memory together, widened to f64, and to have a thread for each lane of many sums.
#pragma once

#include "cuda/kernels/merge_keep.h"

namespace wisemerge::cuda {

inline constexpr uint32_t kSumTile = 512;  // elements
inline constexpr uint32_t kSumModels = 8;  // of a block
inline constexpr uint32_t kSumPacks = kSumTile / kMergePack;

// One model's deltas of a tile. Sixteen threads that write a pack each, or read an element each, meet in no
// bank of the memory: pairs of packs have their elements in orders of their own.
struct SumRow {
  double at[kSumTile];
  WM_HD double& operator[](uint32_t e) { return at[e ^ (e / kMergeLanes % kMergePack)]; }
};

// The pack of n deltas from element `e` on, which is element `begin` of the tile.
template <class Scalar>
WM_HD void stage_pack(const MergeChunk& chunk, uint32_t model, uint64_t e, uint32_t n, uint32_t begin,
                      SumRow& row) {
  Scalar d[kMergePack] = {};
  load_deltas(chunk, model, e, n, d);
  WM_UNROLL
  for (uint32_t i = 0; i < kMergePack; i++) row[begin + i] = static_cast<double>(d[i]);
}

// The halving tree of merge.h.
WM_HD double fold_lanes(double* lanes) {
  for (uint32_t step = kMergeLanes / 2; step > 0; step /= 2) {
    for (uint32_t i = 0; i < step; i++) lanes[i] += lanes[i + step];
  }
  return lanes[0];
}

// Spans or rows of a chunk; the last may be shorter.
struct MergeUnits {
  uint64_t length, count;
  WM_HD uint64_t begin(uint64_t unit) const { return unit * length; }
  WM_HD uint64_t size(uint64_t unit, uint64_t elements) const {
    return elements - begin(unit) < length ? elements - begin(unit) : length;
  }
};

struct MergeSums {
  MergeChunk chunk;
  MergeUnits units;
  const WmKeep* keeps;  // null: all are kept
  bool by_variance;     // of a keep at least
  double* sums;         // [unit][model][kMergeSumColumns]
};

inline constexpr uint32_t kSumsThreads = kSumModels * kMergeLanes;
struct SumsShared {
  SumRow d[kSumModels];
  uint64_t variance[kSumTile];  // keys
  uint8_t kept[kSumModels][kSumPacks];
};
// One lane of one model.
struct SumsLane {
  double magnitude, kept_magnitude, kept_square;
  uint64_t kept;
};

WM_HD uint32_t sums_groups(const MergeChunk& chunk) { return (chunk.models + kSumModels - 1) / kSumModels; }

template <class Scalar>
WM_HD void sums_stage(const MergeSums& call, uint32_t first_model, uint64_t e, uint32_t n, uint32_t thread,
                      SumsShared& shared) {
  for (uint32_t task = thread; task < kSumModels * kSumPacks; task += kSumsThreads) {
    const uint32_t m = task / kSumPacks, pack = task % kSumPacks, model = first_model + m;
    const uint32_t begin = pack * kMergePack;
    if (model >= call.chunk.models || begin >= n) continue;
    const uint32_t size = pack_size(n, begin);
    stage_pack<Scalar>(call.chunk, model, e + begin, size, begin, shared.d[m]);
    const uint32_t kept = call.keeps
                              ? keep_bits(
                                    call.keeps[model], call.chunk, e + begin, size,
                                    [&](uint32_t i) { return static_cast<Scalar>(shared.d[m][begin + i]); },
                                    [&](uint32_t i) { return shared.variance[begin + i]; })
                              : (1u << size) - 1;
    shared.kept[m][pack] = static_cast<uint8_t>(kept);
  }
}

WM_HD void sums_add(uint32_t n, uint32_t thread, SumsShared& shared, SumsLane& sums) {
  const uint32_t m = thread / kMergeLanes;
  for (uint32_t e = thread % kMergeLanes; e < n; e += kMergeLanes) {
    const double d = shared.d[m][e], magnitude = d < 0 ? -d : d;
    sums.magnitude += magnitude;
    if (!(shared.kept[m][e / kMergePack] >> (e % kMergePack) & 1)) continue;
    sums.kept++;
    sums.kept_magnitude += magnitude;
    sums.kept_square = fma(d, d, sums.kept_square);
  }
}

// Group `work % groups` of the models over unit `work / groups`.
template <class Scalar, class Block>
WM_HD void sums_block(const Block& block, const MergeSums& call, uint64_t work, SumsShared& shared) {
  const uint32_t models = call.chunk.models, groups = sums_groups(call.chunk);
  const uint64_t unit = work / groups, begin = call.units.begin(unit);
  const uint64_t length = call.units.size(unit, call.chunk.count);
  const uint32_t first_model = static_cast<uint32_t>(work % groups) * kSumModels;
  typename Block::template Own<SumsLane> own(block, SumsLane{});
  for (uint64_t at = 0; at < length; at += kSumTile) {
    const uint32_t n = length - at < kSumTile ? static_cast<uint32_t>(length - at) : kSumTile;
    if (call.by_variance) {
      block([&](uint32_t thread) {
        for (uint32_t e = thread; e < n; e += kSumsThreads) {
          shared.variance[e] = variance_key<Scalar>(call.chunk, begin + at + e);
        }
      });
    }
    block([&](uint32_t thread) { sums_stage<Scalar>(call, first_model, begin + at, n, thread, shared); });
    block([&](uint32_t thread) {
      if (first_model + thread / kMergeLanes < models) sums_add(n, thread, shared, own[thread]);
    });
  }
  // The tiles' memory takes the lanes.
  block([&](uint32_t thread) {
    double* const to = shared.d[thread / kMergeLanes].at + thread % kMergeLanes;
    const SumsLane& lane = own[thread];
    to[kMergeSumKept * kMergeLanes] = static_cast<double>(lane.kept);
    to[kMergeSumMagnitude * kMergeLanes] = lane.magnitude;
    to[kMergeSumKeptMagnitude * kMergeLanes] = lane.kept_magnitude;
    to[kMergeSumKeptSquare * kMergeLanes] = lane.kept_square;
  });
  block([&](uint32_t thread) {
    if (thread >= kSumModels * kMergeSumColumns) return;
    const uint32_t m = thread / kMergeSumColumns, column = thread % kMergeSumColumns;
    if (first_model + m >= models) return;
    call.sums[(unit * models + first_model + m) * kMergeSumColumns + column] =
        fold_lanes(shared.d[m].at + column * kMergeLanes);
  });
}

}  // namespace wisemerge::cuda
