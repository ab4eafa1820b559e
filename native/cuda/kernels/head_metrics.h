// The metrics of samples at many alphas: half a warp per sample and alpha, then a thread per alpha and block
// of kSampleBlock samples, which sums them in order.
#pragma once

#include "cuda/kernels/head_logits.h"
#include "wisemerge/head_sums.h"

namespace wisemerge::cuda {

struct HeadMetrics {
  HeadLogits logits;
  const double *lo, *hi;  // [rows], as WmPath gives them
  const uint8_t* open;
  const double* alphas;  // [places]: those asked for, then those of the ends that are not among them
  uint32_t asked, places;
  uint32_t zeroshot, finetuned;  // the ends' places
  SampleMetrics* samples;        // [rows][places], between the kernels

  // Samples of the call before this chunk, which may end and begin within a block: a block's sums go on from
  // `carried_in`, and `carried_out` receives those of the last one.
  uint64_t first_sample;
  const double* carried_in;  // [asked][kMetricColumns]
  double* carried_out;
  double* blocks;        // [blocks][asked][kMetricColumns]
  int32_t* predictions;  // [asked], rows of prediction_stride; null if nobody asks
  uint64_t prediction_stride;
};

WM_HD uint32_t chunk_blocks(uint64_t first_sample, uint32_t rows) {
  return static_cast<uint32_t>((first_sample % kSampleBlock + rows + kSampleBlock - 1) / kSampleBlock);
}

// A row's logits at one alpha, the label's place out of the race.
struct LogitsAt {
  const float *z0, *z1;
  uint32_t label, classes;
  float alpha;
  WM_HD float operator()(uint32_t c) const {
    const bool racing = c != label && c < classes;
    return racing ? fmaf(alpha, z1[c] - z0[c], z0[c]) : fmaf(alpha, 0.0f, minus_infinity());
  }
};

struct RowTop {
  float max;
  uint32_t rank;
};
struct RowSums {
  float sum, squares;
  uint32_t first;
};

// All threads of a group have the same sample and place, all groups of a warp the same number of classes.
WM_HD SampleMetrics metrics_sample(const HeadMetrics& call, uint32_t sample, uint32_t place,
                                   const ClassLanes& lanes) {
  const HeadLogits& logits = call.logits;
  const int32_t label = logits.labels[sample];
  const uint32_t padded = padded_classes(logits.classes);
  const LogitsAt z = {logits.z0 + sample * logits.stride, logits.z1 + sample * logits.stride,
                      static_cast<uint32_t>(label), logits.classes, static_cast<float>(call.alphas[place])};
  SampleSoftmax softmax;
  const float own = fmaf(z.alpha, z.z1[label] - z.z0[label], z.z0[label]);
  const RowTop top = lanes.reduce(
      [&](uint32_t lane) {
        RowTop part = {minus_infinity(), 0};
        for (uint32_t c = lane; c < padded; c += kClassLanes) {
          const float v = z(c);
          part.max = v > part.max ? v : part.max;
          part.rank += v > own || (v == own && c < z.label);
        }
        return part;
      },
      [](const RowTop& a, const RowTop& b) {
        return RowTop{b.max > a.max ? b.max : a.max, a.rank + b.rank};
      });
  const float highest = own > top.max ? own : top.max;
  constexpr uint32_t kNone = ~0u;
  const RowSums sums = lanes.reduce(
      [&](uint32_t lane) {
        RowSums part = {0, 0, kNone};
        for (uint32_t c = lane; c < padded; c += kClassLanes) {
          const float v = z(c), e = exp_nonpositive(v - highest);
          part.sum = part.sum + e;
          part.squares = fmaf(e, e, part.squares);
          if (v == top.max && c < part.first) part.first = c;
        }
        return part;
      },
      [](const RowSums& a, const RowSums& b) {
        return RowSums{a.sum + b.sum, a.squares + b.squares, a.first < b.first ? a.first : b.first};
      });
  softmax.own = own;
  softmax.other = top.max;
  softmax.own_exp = exp_nonpositive(own - highest);
  softmax.other_exp = exp_nonpositive(top.max - highest);
  softmax.others = sums.sum;
  softmax.squares = sums.squares;
  softmax.first = sums.first == kNone ? 0 : static_cast<int32_t>(sums.first);
  softmax.rank = top.rank;
  return sample_metrics(softmax, label,
                        on_interval(call.lo[sample], call.hi[sample], call.open[sample], call.alphas[place]));
}

// at.threads is a multiple of a warp; any grid.
WM_HD void metrics_body(const GridPosition& at, const HeadMetrics& call) {
  const uint64_t groups = at.threads / kClassLanes, units = uint64_t{call.logits.rows} * call.places;
  const ClassLanes lanes = {at.thread % kClassLanes};
  // The groups of a warp go round together, the last time with one unit twice.
  for (uint64_t first = at.block * groups; first < units; first += at.blocks * groups) {
    const uint64_t unit = first + at.thread / kClassLanes, used = unit < units ? unit : units - 1;
    const SampleMetrics metrics = metrics_sample(call, static_cast<uint32_t>(used / call.places),
                                                 static_cast<uint32_t>(used % call.places), lanes);
    if (lanes.own == 0 && unit < units) call.samples[unit] = metrics;
  }
}

// Block `block` of the chunk at the alpha in `place` < asked, its samples in ascending order.
WM_HD void metrics_block(const HeadMetrics& call, uint32_t block, uint32_t place) {
  const uint32_t skipped = static_cast<uint32_t>(call.first_sample % kSampleBlock);
  const uint32_t blocks = chunk_blocks(call.first_sample, call.logits.rows);
  const uint32_t begin = block == 0 ? 0 : block * kSampleBlock - skipped;
  const uint32_t whole = (block + 1) * static_cast<uint32_t>(kSampleBlock) - skipped;
  const uint32_t end = whole < call.logits.rows ? whole : call.logits.rows;
  double* const sums = call.blocks + (uint64_t{block} * call.asked + place) * kMetricColumns;
  const bool goes_on = block == 0 && skipped > 0;
  for (uint32_t j = 0; j < kMetricColumns; j++) {
    sums[j] = goes_on ? call.carried_in[place * kMetricColumns + j] : 0;
  }
  for (uint32_t i = begin; i < end; i++) {
    const SampleMetrics* const sample = call.samples + uint64_t{i} * call.places;
    const bool correct = on_interval(call.lo[i], call.hi[i], call.open[i], call.alphas[place]);
    add_sample(sums, sample[place], correct, sample[call.zeroshot].predicted,
               sample[call.finetuned].predicted);
    if (call.predictions) call.predictions[place * call.prediction_stride + i] = sample[place].predicted;
  }
  if (block + 1 < blocks) return;
  for (uint32_t j = 0; j < kMetricColumns; j++) call.carried_out[place * kMetricColumns + j] = sums[j];
}

WM_HD void metrics_sums_body(const GridPosition& at, const HeadMetrics& call) {
  const uint64_t units = uint64_t{chunk_blocks(call.first_sample, call.logits.rows)} * call.asked;
  for (uint64_t unit = uint64_t{at.block} * at.threads + at.thread; unit < units;
       unit += uint64_t{at.blocks} * at.threads) {
    metrics_block(call, static_cast<uint32_t>(unit / call.asked), static_cast<uint32_t>(unit % call.asked));
  }
}

}  // namespace wisemerge::cuda
