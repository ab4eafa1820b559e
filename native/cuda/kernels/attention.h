// Attention (WmAttention) as the CPU computes it, with its bits: scores of a block of keys as chains of fused
// multiply-adds, their softmax with a running maximum (Milakov and Gimelshein, 2018), and sums of values as
// chains that go on from block to block in `out`.
//
// A block of threads takes 32 queries of one head through all their keys. Scores lie in shared memory;
// queries, keys and values come there 16 steps at a time.
#pragma once

#include "cuda/kernels/ends.h"
#include "cuda/kernels/lanes.h"
#include "wisemerge/attention.h"
#include "wisemerge/softmax.h"

namespace wisemerge::cuda {

// As WmAttention; device memory.
struct Attention {
  uint32_t batch, tokens, heads, kv_heads, head_dim;
  const float *q, *k, *v;
  uint64_t q_stride, k_stride, v_stride;
  float* out;
  uint64_t out_stride;
  const int32_t* mask;
  bool causal;
  uint32_t window;
  float scale;
};

inline constexpr uint32_t kAttentionThreads = 128;
inline constexpr uint32_t kAttentionRows = 32;   // queries of a tile; whole tiles make a block of queries
inline constexpr uint32_t kAttentionSteps = 16;  // components, or keys, between two exchanges
inline constexpr uint32_t kAttentionDims = 64;   // components of the result at a time
inline constexpr uint32_t kAttentionPitch = kAttentionKeys + 4;  // whole quads; rows on different banks
static_assert(kAttentionQueries % kAttentionRows == 0);

struct AttentionShared {
  alignas(16) float scores[kAttentionRows][kAttentionPitch];
  alignas(16) float queries[kAttentionSteps][kAttentionRows + 4];
  alignas(16) float columns[kAttentionSteps][kAttentionPitch];  // keys, or values
  float top[kAttentionRows], sum[kAttentionRows], shrink[kAttentionRows];
};

// Where a tile lies. `unit` numbers tiles, heads and sequences through.
struct AttentionTile {
  uint32_t first, rows;    // queries
  uint32_t begin, end;     // keys
  const float *q, *k, *v;  // of the head; q and out from the first query on
  float* out;
  const int32_t* mask;  // of the sequence

  WM_HD AttentionTile(const Attention& call, uint32_t unit) {
    const uint32_t tiles = (call.tokens + kAttentionRows - 1) / kAttentionRows;
    const uint32_t head = unit / tiles % call.heads, sequence = unit / tiles / call.heads;
    first = unit % tiles * kAttentionRows;
    rows = call.tokens - first < kAttentionRows ? call.tokens - first : kAttentionRows;
    const uint32_t block = first / kAttentionQueries * kAttentionQueries, after = block + kAttentionQueries;
    const KeyRange keys = attention_keys(call.tokens, call.causal, call.window, block,
                                         after < call.tokens ? after : call.tokens);
    begin = static_cast<uint32_t>(keys.begin);
    end = static_cast<uint32_t>(keys.end);
    const uint64_t token = uint64_t{sequence} * call.tokens, shared = head / (call.heads / call.kv_heads);
    q = call.q + (token + first) * call.q_stride + uint64_t{head} * call.head_dim;
    k = call.k + token * call.k_stride + shared * call.head_dim;
    v = call.v + token * call.v_stride + shared * call.head_dim;
    out = call.out + (token + first) * call.out_stride + uint64_t{head} * call.head_dim;
    mask = call.mask ? call.mask + token : nullptr;
  }

  WM_HD bool attends(const Attention& call, uint32_t i, uint32_t j) const {
    return (!call.causal || j <= i) && (!call.window || j + call.window > i) && (!mask || mask[j] != 0);
  }
};

WM_HD uint64_t attention_tiles(const Attention& call) {
  return uint64_t{call.batch} * call.heads * ((uint64_t{call.tokens} + kAttentionRows - 1) / kAttentionRows);
}

// One thread: a tile of 4 x 8 scores, and one of 4 x 4 sums of values.
struct AttentionThread {
  static constexpr uint32_t kLines = 4, kColumns = 16;  // rows of a tile, threads side by side
  uint32_t number;
  float sums[kLines][2 * kMatmulQuad];

  WM_HD void clear() {
    WM_UNROLL
    for (uint32_t i = 0; i < kLines; i++) {
      WM_UNROLL
      for (uint32_t j = 0; j < 2 * kMatmulQuad; j++) sums[i][j] = 0;
    }
  }

  // Components from `step` on, one quad of a query and four of keys. Past the last one, -0 * +0 = -0 leaves
  // any sum as it is, -0 included; rows past the tile and keys past the block are 0.
  WM_HD void stage_keys(const Attention& call, const AttentionTile& tile, uint32_t key, uint32_t count,
                        uint32_t step, AttentionShared& shared) const {
    const uint32_t component = number % 4 * kMatmulQuad, line = number / 4, at = step + component;
    const uint32_t valid = at < call.head_dim ? quad_size(call.head_dim, at) : 0;
    float quad[kMatmulQuad];
    load_floats(line < tile.rows ? tile.q + line * call.q_stride + at : tile.q, line < tile.rows ? valid : 0,
                -0.0f, quad);
    WM_UNROLL
    for (uint32_t e = 0; e < kMatmulQuad; e++) shared.queries[component + e][line] = quad[e];
    WM_UNROLL
    for (uint32_t l = 0; l < kAttentionKeys; l += kAttentionThreads / 4) {
      const bool there = line + l < count;
      load_floats(there ? tile.k + (uint64_t{key} + line + l) * call.k_stride + at : tile.k,
                  there ? valid : 0, 0.0f, quad);
      WM_UNROLL
      for (uint32_t e = 0; e < kMatmulQuad; e++) shared.columns[component + e][line + l] = quad[e];
    }
  }

  // The rows of this thread are neighbours; its columns two quads, half a block apart.
  WM_HD uint32_t row() const { return number / kColumns * kLines; }
  WM_HD uint32_t column() const { return number % kColumns * kMatmulQuad; }

  WM_HD void multiply(const AttentionShared& shared) {
    WM_UNROLL
    for (uint32_t l = 0; l < kAttentionSteps; l++) {
      float rows[kLines], columns[2 * kMatmulQuad];
      MatmulThread::read_quad(shared.queries[l] + row(), rows);
      MatmulThread::read_quad(shared.columns[l] + column(), columns);
      MatmulThread::read_quad(shared.columns[l] + kAttentionKeys / 2 + column(), columns + kMatmulQuad);
      WM_UNROLL
      for (uint32_t i = 0; i < kLines; i++) {
        WM_UNROLL
        for (uint32_t j = 0; j < 2 * kMatmulQuad; j++) sums[i][j] = fmaf(rows[i], columns[j], sums[i][j]);
      }
    }
  }

  WM_HD void store_scores(AttentionShared& shared) const {
    WM_UNROLL
    for (uint32_t i = 0; i < kLines; i++) {
      store_quad(shared.scores[row() + i] + column(), sums[i]);
      store_quad(shared.scores[row() + i] + kAttentionKeys / 2 + column(), sums[i] + kMatmulQuad);
    }
  }

  // Scores of `count` keys become exponentials relative to the largest so far; see attention.inl of the CPU.
  // Half a warp per row.
  WM_HD void softmax(const Attention& call, const AttentionTile& tile, uint32_t key, uint32_t count,
                     AttentionShared& shared) const {
    using RowLanes = Lanes<16>;
    constexpr uint32_t kGroup = 16;
    const RowLanes lanes = {number % kGroup};
    if (lanes.idle()) return;
    const uint32_t padded = (count + kGroup - 1) / kGroup * kGroup;
    const float none = bit_cast<float>(0xff800000u);
    struct Top {
      float score;
      uint32_t undefined;
    };
    for (uint32_t r = number / kGroup; r < kAttentionRows; r += kAttentionThreads / kGroup) {
      float* const scores = shared.scores[r];
      const Top top = lanes.reduce(
          [&](uint32_t lane) {
            Top part = {none, 0};
            for (uint32_t j = lane; j < padded; j += kGroup) {
              const bool wanted = j < count && tile.attends(call, tile.first + r, key + j);
              const float score = (wanted ? scores[j] : none) * call.scale;
              scores[j] = score;
              part.score = score > part.score ? score : part.score;
              part.undefined |= score != score;
            }
            return part;
          },
          [](const Top& a, const Top& b) {
            return Top{b.score > a.score ? b.score : a.score, a.undefined | b.undefined};
          });
      const float before = shared.top[r], now = top.score > before ? top.score : before;
      const bool undefined = top.undefined || now == -none;
      const float total = lanes.reduce(
          [&](uint32_t lane) {
            float part = 0;
            for (uint32_t j = lane; j < padded; j += kGroup) {
              const float score = scores[j];
              const float e = score == none || now == none ? 0 : exp_nonpositive(score - now);
              // Whatever is weighted by an undefined row becomes NaN at its end.
              scores[j] = undefined ? score : e;
              part = part + e;
            }
            return part;
          },
          [](float a, float b) { return a + b; });
      lanes.meet();
      if (lanes.own != 0) continue;
      const bool nothing = undefined || now == none;
      const float shrink = nothing ? 1.0f : exp_nonpositive(before - now);
      shared.shrink[r] = shrink;
      if (undefined) {
        shared.sum[r] = bit_cast<float>(0x7fc00000u);
      } else if (!nothing) {
        shared.top[r] = now;
        shared.sum[r] = fmaf(shared.sum[r], shrink, total);
      }
    }
  }

  // Sums so far of the components from `dim` on: this thread's quad of four rows.
  WM_HD void load_sums(const Attention& call, const AttentionTile& tile, uint32_t dim, bool begins,
                       const AttentionShared& shared) {
    const uint32_t at = dim + column();
    const uint32_t valid = at < call.head_dim ? quad_size(call.head_dim, at) : 0;
    WM_UNROLL
    for (uint32_t i = 0; i < kLines; i++) {
      const uint32_t r = row() + i;
      const bool there = !begins && r < tile.rows;
      load_floats(there ? tile.out + r * call.out_stride + at : tile.out, there ? valid : 0, 0, sums[i]);
      WM_UNROLL
      for (uint32_t e = 0; e < kMatmulQuad; e++) sums[i][e] *= shared.shrink[r];
    }
  }

  // 16 keys' values from `key` + `step` on, two quads per thread. Past the last key, 0 * -0 = -0 leaves any
  // sum as it is.
  WM_HD void stage_values(const Attention& call, const AttentionTile& tile, uint32_t key, uint32_t count,
                          uint32_t step, uint32_t dim, AttentionShared& shared) const {
    const uint32_t component = number % kColumns * kMatmulQuad, at = dim + component;
    const uint32_t valid = at < call.head_dim ? quad_size(call.head_dim, at) : 0;
    WM_UNROLL
    for (uint32_t l = number / kColumns; l < kAttentionSteps; l += kAttentionThreads / kColumns) {
      const bool there = step + l < count;
      float quad[kMatmulQuad];
      load_floats(there ? tile.v + (uint64_t{key} + step + l) * call.v_stride + at : tile.v,
                  there ? valid : 0, -0.0f, quad);
      store_quad(shared.columns[l] + component, quad);
    }
  }

  WM_HD void add_values(uint32_t step, const AttentionShared& shared) {
    WM_UNROLL
    for (uint32_t l = 0; l < kAttentionSteps; l += kMatmulQuad) {
      float weights[kLines][kMatmulQuad];
      WM_UNROLL
      for (uint32_t i = 0; i < kLines; i++) {
        MatmulThread::read_quad(shared.scores[row() + i] + step + l, weights[i]);
      }
      WM_UNROLL
      for (uint32_t e = 0; e < kMatmulQuad; e++) {
        float values[kMatmulQuad];
        MatmulThread::read_quad(shared.columns[l + e] + column(), values);
        WM_UNROLL
        for (uint32_t i = 0; i < kLines; i++) {
          WM_UNROLL
          for (uint32_t j = 0; j < kMatmulQuad; j++) sums[i][j] = fmaf(weights[i][e], values[j], sums[i][j]);
        }
      }
    }
  }

  WM_HD void store_sums(const Attention& call, const AttentionTile& tile, uint32_t dim, bool ends,
                        const AttentionShared& shared) {
    const uint32_t at = dim + column();
    if (at >= call.head_dim) return;
    WM_UNROLL
    for (uint32_t i = 0; i < kLines; i++) {
      const uint32_t r = row() + i;
      if (r >= tile.rows) continue;
      if (ends) {
        const float sum = shared.sum[r], factor = sum > 0 ? 1.0f / sum : sum;
        WM_UNROLL
        for (uint32_t e = 0; e < kMatmulQuad; e++) sums[i][e] *= factor;
      }
      store_floats(tile.out + r * call.out_stride + at, quad_size(call.head_dim, at), sums[i]);
    }
  }
};

// A tile by a team of threads: team(body) has every thread run body(thread), then waits for all of them.
template <class Team>
WM_HD void attend(const Attention& call, uint32_t unit, AttentionShared& shared, Team& team) {
  const AttentionTile tile(call, unit);
  team([&](AttentionThread& thread) {
    if (thread.number >= kAttentionRows) return;
    shared.top[thread.number] = bit_cast<float>(0xff800000u);
    shared.sum[thread.number] = 0;
  });
  for (uint32_t key = tile.begin; key < tile.end; key += kAttentionKeys) {
    const uint32_t count = tile.end - key < kAttentionKeys ? tile.end - key : kAttentionKeys;
    const bool begins = key == tile.begin, ends = tile.end - key <= kAttentionKeys;
    for (uint32_t step = 0; step < call.head_dim; step += kAttentionSteps) {
      team([&](AttentionThread& thread) {
        if (step == 0) thread.clear();
        thread.stage_keys(call, tile, key, count, step, shared);
      });
      team([&](AttentionThread& thread) { thread.multiply(shared); });
    }
    team([&](AttentionThread& thread) { thread.store_scores(shared); });
    team([&](AttentionThread& thread) { thread.softmax(call, tile, key, count, shared); });
    for (uint32_t dim = 0; dim < call.head_dim; dim += kAttentionDims) {
      for (uint32_t step = 0; step < count; step += kAttentionSteps) {
        team([&](AttentionThread& thread) {
          if (step == 0) thread.load_sums(call, tile, dim, begins, shared);
          thread.stage_values(call, tile, key, count, step, dim, shared);
        });
        team([&](AttentionThread& thread) {
          thread.add_values(step, shared);
          if (count - step <= kAttentionSteps) thread.store_sums(call, tile, dim, ends, shared);
        });
      }
    }
  }
}

}  // namespace wisemerge::cuda
