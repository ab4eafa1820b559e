// What the gradient of attention needs besides products: scores to probabilities, and gradients of these to
// those of scores. One matrix [tokens, pitch] per head that is computed at once; half a warp per row, with
// the order of cpu/attention_gradient.cc.
#pragma once

#include "cuda/kernels/row_gradients.h"
#include "wisemerge/softmax.h"

namespace wisemerge::cuda {

struct ScoreRows {
  uint32_t first, items, heads;  // as MatmulBatch
  uint32_t tokens;
  uint64_t pitch;
  const int32_t* mask;  // [sequences, tokens], or null
  bool causal;
  uint32_t window;
  float scale;
  float* scores;    // to probabilities
  float* gradient;  // null: that; else gradients by the probabilities, to those by the scores before scaling

  WM_HD uint64_t rows() const { return uint64_t{items} * tokens; }
};

// A row that attends to nothing gives zeros, one with a NaN or an infinite score NaN.
WM_HD void probability_row(const ScoreRows& call, uint64_t row, const RowLanes& lanes, bool write) {
  const uint32_t i = static_cast<uint32_t>(row % call.tokens);
  const uint64_t sequence = (call.first + row / call.tokens) / call.heads;
  float* const scores = call.scores + row * call.pitch;
  const int32_t* const mask = call.mask ? call.mask + sequence * call.tokens : nullptr;
  const uint32_t padded = (call.tokens + kRowLanes - 1) / kRowLanes * kRowLanes;
  const float none = bit_cast<float>(0xff800000u);
  const auto score_of = [&](uint32_t j) {
    const bool wanted = j < call.tokens && (!call.causal || j <= i) &&
                        (!call.window || j + call.window > i) && (!mask || mask[j] != 0);
    return (wanted ? scores[j] : none) * call.scale;
  };
  struct Top {
    float score;
    uint32_t undefined;
  };
  const Top top = lanes.reduce(
      [&](uint32_t lane) {
        Top part = {none, 0};
        for (uint32_t j = lane; j < padded; j += kRowLanes) {
          const float score = score_of(j);
          part.score = score > part.score ? score : part.score;
          part.undefined |= score != score;
        }
        return part;
      },
      [](const Top& a, const Top& b) {
        return Top{b.score > a.score ? b.score : a.score, a.undefined | b.undefined};
      });
  const bool undefined = top.undefined || top.score == -none;
  const auto exponential = [&](uint32_t j) {
    const float score = score_of(j);
    return score == none || top.score == none ? 0.0f : exp_nonpositive(score - top.score);
  };
  const float total = lanes.reduce(
      [&](uint32_t lane) {
        float part = 0;
        for (uint32_t j = lane; j < padded; j += kRowLanes) part = part + exponential(j);
        return part;
      },
      [](float a, float b) { return a + b; });
  const float sum = undefined ? bit_cast<float>(0x7fc00000u) : total;
  const float factor = sum > 0 ? 1.0f / sum : sum;
  if (!write) return;
  lanes.each([&](uint32_t lane) {
    for (uint32_t j = lane; j < call.tokens; j += kRowLanes) {
      scores[j] = undefined ? factor : exponential(j) * factor;
    }
  });
}

WM_HD void slope_row(const ScoreRows& call, uint64_t row, const RowLanes& lanes, bool write) {
  const float* const p = call.scores + row * call.pitch;
  float* const slopes = call.gradient + row * call.pitch;
  double mean = 0;
  for (uint32_t first = 0; first < call.tokens; first += kRowLanes) {
    mean = lanes.ordered_sum(
        [&](uint32_t lane) {
          const uint32_t j = first + lane;
          return j < call.tokens ? static_cast<double>(p[j]) * static_cast<double>(slopes[j]) : 0.0;
        },
        mean);
  }
  const float middle = static_cast<float>(mean);
  if (!write) return;
  lanes.each([&](uint32_t lane) {
    for (uint32_t j = lane; j < call.tokens; j += kRowLanes) {
      slopes[j] = call.scale * p[j] * (slopes[j] - middle);
    }
  });
}

WM_HD void score_rows_body(const GridPosition& at, const ScoreRows& call) {
  each_row(at, call.rows(), [&](uint64_t row, const RowLanes& lanes, bool write) {
    if (call.gradient) {
      slope_row(call, row, lanes, write);
    } else {
      probability_row(call, row, lanes, write);
    }
  });
}

}  // namespace wisemerge::cuda
