// The metrics of samples at many alphas: half a warp per sample and run of alphas (wisemerge/alpha_runs.h),
// then a thread per alpha and block of kSampleBlock samples, which sums them in order.
#pragma once

#include "cuda/kernels/head_logits.h"
#include "wisemerge/alpha_runs.h"
#include "wisemerge/head_sums.h"

namespace wisemerge::cuda {

struct HeadMetrics {
  HeadLogits logits;
  const double *lo, *hi;  // [rows], as WmPath gives them
  const uint8_t* open;
  const double* alphas;  // [places]: those asked for, then those of the ends that are not among them
  const AlphaRun* runs;  // [run_count], of the places
  uint32_t run_count;
  float step;
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

// A row's logits, the label's place out of the race.
struct RacingLogits {
  const float *z0, *z1;
  uint32_t label, classes;
  WM_HD bool racing(uint32_t c) const { return c != label && c < classes; }
  WM_HD float delta(uint32_t c) const { return racing(c) ? z1[c] - z0[c] : 0.0f; }
  WM_HD float at(float alpha, uint32_t c) const {
    return fmaf(alpha, delta(c), racing(c) ? z0[c] : minus_infinity());
  }
};

struct RunTops {
  float largest_delta;
  float max[kRunAlphas];
  uint32_t rank[kRunAlphas];
};
struct RunSums {
  float sum[kRunAlphas], squares[kRunAlphas];
  uint32_t first[kRunAlphas];
};

WM_HD float greater_of(float a, float b) { return b > a ? b : a; }

// body(i) for the alphas of a run; unrolled, so that arrays over them stay in registers.
template <class Body>
WM_HD void each_alpha(const AlphaRun& run, Body body) {
  WM_UNROLL
  for (uint32_t i = 0; i < kRunAlphas; i++) {
    if (i < run.count) body(i);
  }
}

// All threads of a group have the same sample and run, all groups of a warp the same number of classes. The
// results go to `out`, by place, unless it is null.
WM_HD void metrics_run(const HeadMetrics& call, uint32_t sample, const AlphaRun& run, const ClassLanes& lanes,
                       SampleMetrics* out) {
  const HeadLogits& logits = call.logits;
  const int32_t label = logits.labels[sample];
  const uint32_t padded = padded_classes(logits.classes);
  const RacingLogits z = {logits.z0 + sample * logits.stride, logits.z1 + sample * logits.stride,
                          static_cast<uint32_t>(label), logits.classes};
  const float own_delta = z.z1[label] - z.z0[label];
  float alphas[kRunAlphas], own[kRunAlphas];
  each_alpha(run, [&](uint32_t i) {
    alphas[i] = static_cast<float>(call.alphas[run.first + i]);
    own[i] = fmaf(alphas[i], own_delta, z.z0[label]);
  });
  const RunTops tops = lanes.reduce(
      [&](uint32_t lane) {
        RunTops part;
        part.largest_delta = greater_of(0.0f, fabsf(own_delta));
        WM_UNROLL
        for (uint32_t i = 0; i < kRunAlphas; i++) part.max[i] = minus_infinity(), part.rank[i] = 0;
        for (uint32_t c = lane; c < padded; c += kClassLanes) {
          part.largest_delta = greater_of(part.largest_delta, fabsf(z.delta(c)));
          each_alpha(run, [&](uint32_t i) {
            const float v = z.at(alphas[i], c);
            part.max[i] = greater_of(part.max[i], v);
            part.rank[i] += v > own[i] || (v == own[i] && c < z.label);
          });
        }
        return part;
      },
      [](const RunTops& a, const RunTops& b) {
        RunTops all;
        all.largest_delta = greater_of(a.largest_delta, b.largest_delta);
        WM_UNROLL
        for (uint32_t i = 0; i < kRunAlphas; i++) {
          all.max[i] = greater_of(a.max[i], b.max[i]);
          all.rank[i] = a.rank[i] + b.rank[i];
        }
        return all;
      });
  float highest[kRunAlphas];
  each_alpha(run, [&](uint32_t i) { highest[i] = greater_of(tops.max[i], own[i]); });
  const bool together = run.count > 1 && within_reach(call.step, tops.largest_delta);
  constexpr uint32_t kNone = ~0u;
  const RunSums sums = lanes.reduce(
      [&](uint32_t lane) {
        RunSums part;
        WM_UNROLL
        for (uint32_t i = 0; i < kRunAlphas; i++) part.sum[i] = part.squares[i] = 0, part.first[i] = kNone;
        for (uint32_t c = lane; c < padded; c += kClassLanes) {
          float e[kRunAlphas];
          if (together) {
            const float x = z.at(alphas[kRunSide], c) - highest[kRunSide];
            const float power = z.delta(c) * call.step;
            const float growth = exp_nonpositive(power), shrink = exp_nonpositive(-power);
            e[kRunSide] = exp_nonpositive(x > kRunLeast ? x : kRunLeast);
            WM_UNROLL
            for (uint32_t i = 1; i <= kRunSide; i++) {
              e[kRunSide + i] = e[kRunSide + i - 1] * growth;
              e[kRunSide - i] = e[kRunSide - i + 1] * shrink;
            }
          }
          each_alpha(run, [&](uint32_t i) {
            const float v = z.at(alphas[i], c);
            if (!together) e[i] = exp_nonpositive(v - highest[i]);
            part.sum[i] = part.sum[i] + e[i];
            part.squares[i] = fmaf(e[i], e[i], part.squares[i]);
            if (v == tops.max[i] && c < part.first[i]) part.first[i] = c;
          });
        }
        return part;
      },
      [](const RunSums& a, const RunSums& b) {
        RunSums all;
        WM_UNROLL
        for (uint32_t i = 0; i < kRunAlphas; i++) {
          all.sum[i] = a.sum[i] + b.sum[i];
          all.squares[i] = a.squares[i] + b.squares[i];
          all.first[i] = a.first[i] < b.first[i] ? a.first[i] : b.first[i];
        }
        return all;
      });
  if (!out) return;
  each_alpha(run, [&](uint32_t i) {
    SampleSoftmax softmax;
    softmax.own = own[i];
    softmax.other = tops.max[i];
    softmax.own_exp = exp_nonpositive(own[i] - highest[i]);
    softmax.other_exp = exp_nonpositive(tops.max[i] - highest[i]);
    softmax.others = sums.sum[i];
    softmax.squares = sums.squares[i];
    softmax.first = sums.first[i] == kNone ? 0 : static_cast<int32_t>(sums.first[i]);
    softmax.rank = tops.rank[i];
    if (together) rescale(softmax, highest[kRunSide], highest[i]);
    const double alpha = call.alphas[run.first + i];
    out[run.first + i] =
        sample_metrics(softmax, label, logits.classes,
                       on_interval(call.lo[sample], call.hi[sample], call.open[sample], alpha));
  });
}

// at.threads is a multiple of a warp; any grid.
WM_HD void metrics_body(const GridPosition& at, const HeadMetrics& call) {
  const uint64_t groups = at.threads / kClassLanes, units = uint64_t{call.logits.rows} * call.run_count;
  const ClassLanes lanes = {at.thread % kClassLanes};
  // The groups of a warp go round together, the last time with one unit twice.
  for (uint64_t first = at.block * groups; first < units; first += at.blocks * groups) {
    const uint64_t unit = first + at.thread / kClassLanes, used = unit < units ? unit : units - 1;
    const uint64_t sample = used / call.run_count;
    const bool writes = lanes.own == 0 && unit < units;
    metrics_run(call, static_cast<uint32_t>(sample), call.runs[used % call.run_count], lanes,
                writes ? call.samples + sample * call.places : nullptr);
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
