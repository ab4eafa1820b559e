// WmMergeCount and WmMergeOverlap: counts, whose order of adding up does not show.
//
// Block is the threads of a block (block.cuh; native/test/host_block.h for all of them in turn): block(phase)
// runs phase(thread) for each and returns when all are done.
#pragma once

#include "cuda/kernels/merge_keep.h"

namespace wisemerge::cuda {

struct MergeCount {
  MergeChunk chunk;
  uint32_t model;  // the only one of the chunk, unless the score needs all
  int32_t score;
  const double* row_scores;  // from the chunk's first row on
  uint32_t shift;
  uint64_t prefix;
  uint64_t* table;
};

inline constexpr uint32_t kCountThreads = 256;
// A block's own counters are for the keys of magnitudes between 2^-63 and 2 (of f64: 2^-511 and 2), where the
// deltas of weights lie, and for zero: on the first level, bits 14 and 13 of a bucket are 0 and 1 there. All
// other buckets are counted in the table itself.
inline constexpr uint32_t kOwnBits = 13;
inline constexpr uint32_t kOwnBuckets = 1u << kOwnBits;
inline constexpr uint32_t kZeros = kOwnBuckets;
struct CountShared {
  uint32_t own[kOwnBuckets + 1];
};

WM_HD void count_key(const MergeCount& call, uint64_t key, CountShared& shared, uint32_t& zeros) {
  const uint64_t digits = key >> call.shift;
  if (digits >> 16 != call.prefix) return;
  const auto bucket = static_cast<uint32_t>(digits & 0xffff);
  if (bucket == 0) {
    zeros++;
  } else if (bucket >> kOwnBits == 1) {
    atomic_add(&shared.own[bucket - kOwnBuckets], 1);
  } else {
    atomic_add(&call.table[bucket], 1);
  }
}

template <class Scalar>
WM_HD void count_thread(const GridPosition& at, const MergeCount& call, CountShared& shared) {
  const MergeChunk& chunk = call.chunk;
  const uint64_t first = uint64_t{at.block} * at.threads + at.thread;
  const uint64_t step = uint64_t{at.blocks} * at.threads;
  uint32_t zeros = 0;
  if (call.score == WM_SCORE_VARIANCE) {
    for (uint64_t e = first; e < chunk.count; e += step) {
      count_key(call, variance_key<Scalar>(chunk, e), shared, zeros);
    }
  } else {
    for (uint64_t pack = first; pack < pack_count(chunk.count); pack += step) {
      const uint64_t e = pack * kMergePack;
      const uint32_t n = pack_size(chunk.count, e);
      Scalar d[kMergePack] = {};
      load_deltas(chunk, call.model, e, n, d);
      WM_UNROLL
      for (uint32_t i = 0; i < kMergePack; i++) {
        if (i >= n) break;
        const Scalar score = call.score == WM_SCORE_ROW_SCALED
                                 ? merge_row_scaled(d[i], call.row_scores[row_of(chunk, e + i)])
                                 : d[i];
        count_key(call, merge_key(score), shared, zeros);
      }
    }
  }
  if (zeros) atomic_add(&shared.own[kZeros], zeros);
}

// kCountThreads to a block; any grid.
template <class Scalar, class Block>
WM_HD void count_block(const Block& block, const MergeCount& call, CountShared& shared) {
  block([&](uint32_t thread) {
    for (uint32_t i = thread; i <= kOwnBuckets; i += kCountThreads) shared.own[i] = 0;
  });
  block([&](uint32_t thread) { count_thread<Scalar>(block.at(thread), call, shared); });
  block([&](uint32_t thread) {
    for (uint32_t i = thread; i <= kOwnBuckets; i += kCountThreads) {
      if (shared.own[i]) atomic_add(&call.table[i == kZeros ? 0 : i + kOwnBuckets], shared.own[i]);
    }
  });
}

struct MergeOverlap {
  MergeChunk chunk;
  double epsilon;
  uint64_t* counts;  // as in WmMergeOverlap
};

inline constexpr uint32_t kOverlapThreads = 256;

WM_HD uint32_t bit_count(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return static_cast<uint32_t>(__popc(bits));
#else
  return static_cast<uint32_t>(__builtin_popcount(bits));
#endif
}

// Bit i: whether model m's delta at e + i is beyond epsilon.
template <class Scalar>
WM_HD uint32_t beyond_bits(const MergeOverlap& call, uint32_t m, uint64_t e, uint32_t n) {
  const Scalar epsilon = static_cast<Scalar>(call.epsilon);
  Scalar d[kMergePack] = {};
  load_deltas(call.chunk, m, e, n, d);
  uint32_t bits = 0;
  WM_UNROLL
  for (uint32_t i = 0; i < kMergePack; i++) {
    bits |= static_cast<uint32_t>(i < n && (d[i] < 0 ? -d[i] : d[i]) > epsilon) << i;
  }
  return bits;
}

// Twice over the models, the second time from a cache: first to see where more than one has a delta.
template <class Scalar>
WM_HD void overlap_thread(const GridPosition& at, const MergeOverlap& call, uint32_t* shared) {
  const uint32_t models = call.chunk.models;
  const uint64_t step = uint64_t{at.blocks} * at.threads;
  for (uint64_t pack = uint64_t{at.block} * at.threads + at.thread; pack < pack_count(call.chunk.count);
       pack += step) {
    const uint64_t e = pack * kMergePack;
    const uint32_t n = pack_size(call.chunk.count, e);
    uint32_t once = 0, twice = 0;
    WM_NO_UNROLL
    for (uint32_t turn = 0; turn < 2 * models; turn++) {
      const uint32_t m = turn < models ? turn : turn - models;
      const uint32_t bits = beyond_bits<Scalar>(call, m, e, n);
      if (turn < models) {
        twice |= once & bits;
        once |= bits;
      } else {
        if (bits & twice) atomic_add(&shared[2 * m], bit_count(bits & twice));
        if (bits & ~twice) atomic_add(&shared[2 * m + 1], bit_count(bits & ~twice));
      }
    }
  }
}

// kOverlapThreads to a block; any grid. `shared` has two counters per model.
template <class Scalar, class Block>
WM_HD void overlap_block(const Block& block, const MergeOverlap& call, uint32_t* shared) {
  const uint32_t counters = 2 * call.chunk.models;
  block([&](uint32_t thread) {
    for (uint32_t i = thread; i < counters; i += kOverlapThreads) shared[i] = 0;
  });
  block([&](uint32_t thread) { overlap_thread<Scalar>(block.at(thread), call, shared); });
  block([&](uint32_t thread) {
    for (uint32_t i = thread; i < counters; i += kOverlapThreads) {
      if (shared[i]) atomic_add(&call.counts[i], shared[i]);
    }
  });
}

}  // namespace wisemerge::cuda
