// WmMergeRankMask and WmMergeDivergence: what needs a whole row.
#pragma once

#include <type_traits>

#include "cuda/kernels/lanes.h"
#include "cuda/kernels/merge_keep.h"

namespace wisemerge::cuda {

// An element's key and index in its row, in the order of ranks.
struct NarrowRank {
  uint64_t key_index;
  WM_HD static NarrowRank make(uint64_t key, uint64_t index) { return {key << 32 | index}; }
  WM_HD bool before(const NarrowRank& other) const { return key_index < other.key_index; }
  WM_HD uint64_t index() const { return key_index & 0xffffffffu; }
};
struct alignas(16) WideRank {
  uint64_t key, place;
  WM_HD static WideRank make(uint64_t key, uint64_t index) { return {key, index}; }
  WM_HD bool before(const WideRank& other) const {
    return key < other.key || (key == other.key && place < other.place);
  }
  WM_HD uint64_t index() const { return place; }
};
template <class Scalar>
using MergeRank = std::conditional_t<sizeof(Scalar) == 4, NarrowRank, WideRank>;

struct MergeRanks {
  MergeChunk chunk;  // whole rows of one model
  double density, epsilon;
  uint64_t key;
  uint32_t stream;
  uint32_t* mask;    // zeros
  std::byte* ranks;  // of one row per block, where they do not fit shared memory
};

inline constexpr uint32_t kRankThreads = 512;
inline constexpr uint32_t kRankShared = 32u << 10;

WM_HD uint64_t rank_bytes(const MergeChunk& chunk) {
  return chunk.row * (chunk.wide ? sizeof(WideRank) : sizeof(NarrowRank));
}

// One step of Batcher's bitonic sorter (1968) that puts the smaller element first in every comparison, so
// that a row need not be filled up to a power of two: what is past its end would stay there. Runs of `size` /
// 2 are sorted; the first step compares a run with the next one backwards, the others halves with halves.
template <class Rank>
WM_HD void rank_step(Rank* ranks, uint64_t length, uint64_t size, uint64_t step, uint32_t thread) {
  for (uint64_t pair = thread;; pair += kRankThreads) {
    const uint64_t rest = pair & (step - 1), first = 2 * (pair - rest), i = first + rest;
    const uint64_t j = step == size / 2 ? first + size - 1 - rest : i + step;
    if (i >= length) return;
    if (j >= length || !ranks[j].before(ranks[i])) continue;
    const Rank other = ranks[i];
    ranks[i] = ranks[j];
    ranks[j] = other;
  }
}

// `shared` has kRankShared bytes.
template <class Scalar, class Block>
WM_HD void rank_block(const Block& block, const MergeRanks& call, uint64_t row, std::byte* shared) {
  using Rank = MergeRank<Scalar>;
  const MergeChunk& chunk = call.chunk;
  const uint64_t length = chunk.row, begin = row * length;
  Rank* const ranks = reinterpret_cast<Rank*>(
      rank_bytes(chunk) <= kRankShared ? shared : call.ranks + block.at(0).block * rank_bytes(chunk));
  block([&](uint32_t thread) {
    for (uint64_t e = thread; e < length; e += kRankThreads) {
      ranks[e] = Rank::make(merge_key(load_delta<Scalar>(chunk, 0, begin + e)), e);
    }
  });
  for (uint64_t size = 2; size < 2 * length; size *= 2) {
    for (uint64_t step = size / 2; step > 0; step /= 2) {
      block([&](uint32_t thread) { rank_step(ranks, length, size, step, thread); });
    }
  }
  block([&](uint32_t thread) {
    WmKeep keep = {};
    keep.key = call.key;
    keep.stream = call.stream;
    for (uint64_t rank = thread; rank < length; rank += kRankThreads) {
      const uint64_t e = begin + ranks[rank].index();
      keep.probability = merge_rank_probability(call.density, call.epsilon, rank, length);
      if (random_bits(keep, chunk.first + e, 1)) atomic_or(&call.mask[e / 32], 1u << (e % 32));
    }
  });
}

struct MergeDivergence {
  MergeChunk chunk;  // whole rows of one model and a base
  double* divergence;
};

inline constexpr uint32_t kDivergenceThreads = 128;

// What crosses lanes: whole words.
struct RowRange {
  double x_max, base_max;
  uint64_t finite;
};
struct RowSum {
  double x, base;
};

// All threads of a group have the same row.
WM_HD void divergence_row(const MergeDivergence& call, uint64_t row, const Lanes<kMergeLanes>& lanes,
                          bool stores) {
  const MergeChunk& chunk = call.chunk;
  const uint64_t begin = row * chunk.row, end = begin + chunk.row;
  const auto x = [&](uint64_t e) { return load_value<double>(chunk.x[0], e); };
  const auto base = [&](uint64_t e) { return load_value<double>(chunk.base, e); };
  const RowRange range = lanes.reduce(
      [&](uint32_t lane) {
        const double lowest = bit_cast<double>(0xfff0000000000000ull);
        RowRange part = {lowest, lowest, 1};
        for (uint64_t e = begin + lane; e < end; e += kMergeLanes) {
          const double a = x(e), b = base(e);
          part.finite &= static_cast<uint64_t>(a - a == 0 && b - b == 0);
          part.x_max = a > part.x_max ? a : part.x_max;
          part.base_max = b > part.base_max ? b : part.base_max;
        }
        return part;
      },
      [](const RowRange& a, const RowRange& b) {
        return RowRange{b.x_max > a.x_max ? b.x_max : a.x_max,
                        b.base_max > a.base_max ? b.base_max : a.base_max, a.finite & b.finite};
      });
  const RowSum sum = lanes.reduce(
      [&](uint32_t lane) {
        RowSum part = {0, 0};
        for (uint64_t e = begin + lane; e < end; e += kMergeLanes) {
          part.x += merge_exp(x(e) - range.x_max);
          part.base += merge_exp(base(e) - range.base_max);
        }
        return part;
      },
      [](const RowSum& a, const RowSum& b) {
        return RowSum{a.x + b.x, a.base + b.base};
      });
  const double divergence = lanes.reduce(
      [&](uint32_t lane) {
        double part = 0;
        for (uint64_t e = begin + lane; e < end; e += kMergeLanes) {
          part = merge_divergence_term(merge_exp(x(e) - range.x_max), sum.x,
                                       merge_exp(base(e) - range.base_max), sum.base, part);
        }
        return part;
      },
      [](double a, double b) { return a + b; });
  if (lanes.own != 0 || !stores) return;
  call.divergence[row] = range.finite ? divergence : bit_cast<double>(0x7ff8000000000000ull);
}

// at.threads is a multiple of a warp; any grid.
WM_HD void divergence_body(const GridPosition& at, const MergeDivergence& call) {
  const uint64_t groups = at.threads / kMergeLanes, rows = call.chunk.count / call.chunk.row;
  const Lanes<kMergeLanes> lanes = {at.thread % kMergeLanes};
  // The groups of a warp go round together, the last time with one row twice.
  for (uint64_t first = at.block * groups; first < rows; first += at.blocks * groups) {
    const uint64_t row = first + at.thread / kMergeLanes;
    divergence_row(call, row < rows ? row : rows - 1, lanes, row < rows);
  }
}

}  // namespace wisemerge::cuda
