// Where each sample's label wins: a warp per sample, each lane intersecting the half-lines of its classes.
#pragma once

#include "cuda/kernels/head_logits.h"
#include "wisemerge/interval.h"

namespace wisemerge::cuda {

struct HeadPath {
  HeadLogits logits;
  double from, to;
  double *lo, *hi;  // [rows]
  uint8_t* open;
};

inline constexpr uint32_t kPathLanes = 32;

// What crosses lanes: whole words.
struct WideInterval {
  double lo, hi;
  uint64_t open;
};

// The classes lane, lane + kPathLanes, ...
WM_HD Interval path_lane(const HeadPath& path, uint32_t sample, uint32_t lane) {
  const HeadLogits& logits = path.logits;
  const float* const z0 = logits.z0 + sample * logits.stride;
  const float* const z1 = logits.z1 + sample * logits.stride;
  const uint32_t label = static_cast<uint32_t>(logits.labels[sample]);
  const float own0 = z0[label], own1 = z1[label], allowance = margin_allowance(path.from, path.to);
  Interval interval = {path.from, path.to, 0};
  for (uint32_t c = lane; c < logits.classes && !interval.empty(); c += kPathLanes) {
    if (c == label) continue;
    // Margins at both ends that are surely positive, in f32, tell that the class bounds nothing; a NaN is
    // not.
    const float m0 = own0 - z0[c], m1 = own1 - z1[c], slope = m1 - m0;
    const float slack = ((m0 < 0 ? -m0 : m0) + (m1 < 0 ? -m1 : m1)) * allowance;
    if (fmaf(static_cast<float>(interval.lo), slope, m0) > slack &&
        fmaf(static_cast<float>(interval.hi), slope, m0) > slack) {
      continue;
    }
    bound(interval, static_cast<double>(own0) - z0[c], static_cast<double>(own1) - z1[c], c > label);
  }
  return interval;
}

// All threads of a warp have the same `sample`.
WM_HD void path_sample(const HeadPath& path, uint32_t sample, const Lanes<kPathLanes>& lanes) {
  const WideInterval wide = lanes.reduce(
      [&](uint32_t lane) {
        const Interval part = path_lane(path, sample, lane);
        return WideInterval{part.lo, part.hi, part.open};
      },
      [](const WideInterval& a, const WideInterval& b) {
        const Interval both = intersection({a.lo, a.hi, static_cast<uint8_t>(a.open)},
                                           {b.lo, b.hi, static_cast<uint8_t>(b.open)});
        return WideInterval{both.lo, both.hi, both.open};
      });
  Interval interval = {wide.lo, wide.hi, static_cast<uint8_t>(wide.open)};
  if (interval.empty()) interval = empty_interval();
  if (lanes.own != 0) return;
  path.lo[sample] = interval.lo;
  path.hi[sample] = interval.hi;
  path.open[sample] = interval.open;
}

// at.threads is a multiple of kPathLanes; any grid.
WM_HD void path_body(const GridPosition& at, const HeadPath& path) {
  const uint32_t warps = at.threads / kPathLanes;
  const Lanes<kPathLanes> lanes = {at.thread % kPathLanes};
  for (uint32_t sample = at.block * warps + at.thread / kPathLanes; sample < path.logits.rows;
       sample += at.blocks * warps) {
    path_sample(path, sample, lanes);
  }
}

}  // namespace wisemerge::cuda
