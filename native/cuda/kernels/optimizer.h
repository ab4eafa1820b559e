// AdamW and the norm of gradients (wisemerge/adamw.h) on the device.
#pragma once

#include "cuda/kernels/ends.h"
#include "cuda/kernels/row_gradients.h"
#include "wisemerge/adamw.h"

namespace wisemerge::cuda {

// Sums of the squares of each block of kNormBlock numbers, in f64: half a warp per block.
struct SquareSums {
  uint64_t count;
  const float* x;
  double* out;  // [blocks()]

  WM_HD uint64_t blocks() const { return (count + kNormBlock - 1) / kNormBlock; }
};

WM_HD void square_sums_body(const GridPosition& at, const SquareSums& call) {
  each_row(at, call.blocks(), [&](uint64_t block, const RowLanes& lanes, bool write) {
    const uint64_t first = block * kNormBlock;
    const uint64_t left = call.count - first, count = left < kNormBlock ? left : kNormBlock;
    const double sum = lanes.ordered_sum([&](uint32_t lane) {
      double part = 0;
      for (uint64_t j = lane; j < count; j += kRowLanes) {
        const double x = static_cast<double>(call.x[first + j]);
        part += x * x;
      }
      return part;
    });
    if (write && lanes.own == 0) call.out[block] = sum;
  });
}

struct AdamWPass {
  WmAdamW factors;
  uint64_t count;
  const float* gradient;
  float *parameters, *first_moment, *second_moment;
};

// One thread per four parameters. Any grid.
WM_HD void adamw_pass_body(const GridPosition& at, const AdamWPass& call) {
  for (uint64_t first = (uint64_t{at.block} * at.threads + at.thread) * kMatmulQuad; first < call.count;
       first += uint64_t{at.blocks} * at.threads * kMatmulQuad) {
    const uint32_t valid = quad_size(call.count, first);
    float g[kMatmulQuad], m[kMatmulQuad], v[kMatmulQuad], p[kMatmulQuad];
    load_floats(call.gradient + first, valid, 0, g);
    load_floats(call.first_moment + first, valid, 0, m);
    load_floats(call.second_moment + first, valid, 0, v);
    WM_UNROLL
    for (uint32_t i = 0; i < kMatmulQuad; i++) adamw_moments(call.factors, g[i], m[i], v[i]);
    store_floats(call.first_moment + first, valid, m);
    store_floats(call.second_moment + first, valid, v);
    if (call.factors.frozen) continue;
    load_floats(call.parameters + first, valid, 0, p);
    WM_UNROLL
    for (uint32_t i = 0; i < kMatmulQuad; i++) p[i] = adamw_parameter(call.factors, m[i], v[i], p[i]);
    store_floats(call.parameters + first, valid, p);
  }
}

}  // namespace wisemerge::cuda
