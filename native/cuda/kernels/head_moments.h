// The likelihood of softmax(b z0 + g (z1 - z0)) and its derivatives: half a warp per sample, then a thread
// per moment and block of kSampleBlock samples.
#pragma once

#include "cuda/kernels/head_metrics.h"

namespace wisemerge::cuda {

inline constexpr uint32_t kMoments = 6;

struct HeadMoments {
  HeadLogits logits;
  const double* weights;  // [rows]; null: 1
  float b, g;
  double* samples;  // [rows][kMoments], between the kernels
  // As in HeadMetrics.
  uint64_t first_sample;
  const double* carried_in;  // [kMoments]
  double* carried_out;
  double* blocks;  // [blocks][kMoments]
};

// A row's logits relative to the label's: a constant added to all of them changes nothing.
struct RelativeLogits {
  const float *z0, *z1;
  uint32_t label, classes;
  float b, g;
  WM_HD float base(uint32_t c) const { return c < classes ? z0[c] - z0[label] : 0.0f; }
  WM_HD float delta(uint32_t c) const {
    return c < classes ? (z1[c] - z0[c]) - (z1[label] - z0[label]) : 0.0f;
  }
  WM_HD float operator()(uint32_t c) const {
    return c < classes ? fmaf(b, base(c), g * delta(c)) : minus_infinity();
  }
};

struct FirstMoments {
  float e, eb, eg;
};
struct SecondMoments {
  float bb, bg, gg;
};

WM_HD void moments_sample(const HeadMoments& call, uint32_t sample, const ClassLanes& lanes, bool stores) {
  const HeadLogits& logits = call.logits;
  const uint32_t padded = padded_classes(logits.classes);
  const RelativeLogits u = {logits.z0 + sample * logits.stride,
                            logits.z1 + sample * logits.stride,
                            static_cast<uint32_t>(logits.labels[sample]),
                            logits.classes,
                            call.b,
                            call.g};
  const float top = lanes.reduce(
      [&](uint32_t lane) {
        float max = minus_infinity();
        for (uint32_t c = lane; c < padded; c += kClassLanes) {
          const float v = u(c);
          max = v > max ? v : max;
        }
        return max;
      },
      [](float a, float b) { return b > a ? b : a; });
  const FirstMoments first = lanes.reduce(
      [&](uint32_t lane) {
        FirstMoments part = {0, 0, 0};
        for (uint32_t c = lane; c < padded; c += kClassLanes) {
          const float p = exp_nonpositive(u(c) - top);
          part.e = part.e + p;
          part.eb = fmaf(p, u.base(c), part.eb);
          part.eg = fmaf(p, u.delta(c), part.eg);
        }
        return part;
      },
      [](const FirstMoments& a, const FirstMoments& b) {
        return FirstMoments{a.e + b.e, a.eb + b.eb, a.eg + b.eg};
      });
  const double all = first.e, mean_b = first.eb / all, mean_g = first.eg / all;
  // Around the means, in a pass of its own: the difference of two large numbers would not be positive.
  const float center_b = static_cast<float>(mean_b), center_g = static_cast<float>(mean_g);
  const SecondMoments second = lanes.reduce(
      [&](uint32_t lane) {
        SecondMoments part = {0, 0, 0};
        for (uint32_t c = lane; c < padded; c += kClassLanes) {
          const float p = exp_nonpositive(u(c) - top);
          const float x = u.base(c) - center_b, y = u.delta(c) - center_g;
          part.bb = fmaf(p * x, x, part.bb);
          part.bg = fmaf(p * x, y, part.bg);
          part.gg = fmaf(p * y, y, part.gg);
        }
        return part;
      },
      [](const SecondMoments& a, const SecondMoments& b) {
        return SecondMoments{a.bb + b.bb, a.bg + b.bg, a.gg + b.gg};
      });
  if (lanes.own != 0 || !stores) return;
  double* const to = call.samples + uint64_t{sample} * kMoments;
  to[0] = static_cast<double>(top) + log_positive(all);
  to[1] = mean_b;
  to[2] = mean_g;
  to[3] = second.bb / all;
  to[4] = second.bg / all;
  to[5] = second.gg / all;
}

// at.threads is a multiple of a warp; any grid.
WM_HD void moments_body(const GridPosition& at, const HeadMoments& call) {
  const uint64_t groups = at.threads / kClassLanes, rows = call.logits.rows;
  const ClassLanes lanes = {at.thread % kClassLanes};
  for (uint64_t first = at.block * groups; first < rows; first += at.blocks * groups) {
    const uint64_t sample = first + at.thread / kClassLanes;
    moments_sample(call, static_cast<uint32_t>(sample < rows ? sample : rows - 1), lanes, sample < rows);
  }
}

// Moment `j` of block `block` of the chunk, its samples in ascending order.
WM_HD void moments_block(const HeadMoments& call, uint32_t block, uint32_t j) {
  const uint32_t skipped = static_cast<uint32_t>(call.first_sample % kSampleBlock);
  const uint32_t blocks = chunk_blocks(call.first_sample, call.logits.rows);
  const uint32_t begin = block == 0 ? 0 : block * kSampleBlock - skipped;
  const uint32_t whole = (block + 1) * static_cast<uint32_t>(kSampleBlock) - skipped;
  const uint32_t end = whole < call.logits.rows ? whole : call.logits.rows;
  double sum = block == 0 && skipped > 0 ? call.carried_in[j] : 0;
  for (uint32_t i = begin; i < end; i++) {
    const double weight = call.weights ? call.weights[i] : 1;
    sum += weight * call.samples[uint64_t{i} * kMoments + j];
  }
  call.blocks[uint64_t{block} * kMoments + j] = sum;
  if (block + 1 == blocks) call.carried_out[j] = sum;
}

WM_HD void moments_sums_body(const GridPosition& at, const HeadMoments& call) {
  const uint32_t units = chunk_blocks(call.first_sample, call.logits.rows) * kMoments;
  for (uint32_t unit = at.block * at.threads + at.thread; unit < units; unit += at.blocks * at.threads) {
    moments_block(call, unit / kMoments, unit % kMoments);
  }
}

}  // namespace wisemerge::cuda
