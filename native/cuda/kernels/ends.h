// A tensor of a network's model somewhere on the path between two models: interpolated where it is used.
#pragma once

#include "cuda/kernels/matmul.h"

namespace wisemerge::cuda {

// F32, F16 or BF16 in device memory. y null: x as it is.
struct Ends {
  const void *x, *y;
  DType x_dtype, y_dtype;
  float alpha;
};

WM_HD float stored_float(DType dtype, const void* data, uint64_t i) {
  if (dtype == DType::kF32) return static_cast<const float*>(data)[i];
  const uint16_t bits = static_cast<const uint16_t*>(data)[i];
  return dtype == DType::kBF16 ? bf16_to_f32(bits) : Half<DType::kF16>::widen(bits);
}

WM_HD float interpolated(const Ends& ends, uint64_t i) {
  const float x = stored_float(ends.x_dtype, ends.x, i);
  return ends.y ? matmul_weight(x, stored_float(ends.y_dtype, ends.y, i), ends.alpha) : x;
}

// The first `valid` of four neighbours.
WM_HD void stored_quad(DType dtype, const void* data, uint64_t first, uint32_t valid, float* to) {
  StoredQuad quad;
  if (dtype == DType::kF32) {
    load_quad<uint32_t>(data, first, valid, 0, quad);
  } else {
    load_quad<uint16_t>(data, first, valid, 0, quad);
  }
  widen_quad(dtype, quad, to);
}

WM_HD void interpolated_quad(const Ends& ends, uint64_t first, uint32_t valid, float* to) {
  stored_quad(ends.x_dtype, ends.x, first, valid, to);
  if (!ends.y) return;
  float y[kMatmulQuad];
  stored_quad(ends.y_dtype, ends.y, first, valid, y);
  WM_UNROLL
  for (uint32_t i = 0; i < kMatmulQuad; i++) to[i] = matmul_weight(to[i], y[i], ends.alpha);
}

// The first `valid` of four neighbours, by one access where they are aligned; `pad` for the others. No
// read-only access: passes may write over what they read.
WM_HD void load_floats(const float* from, uint32_t valid, float pad, float* to) {
#if defined(__CUDA_ARCH__)
  if (valid == kMatmulQuad && pack_aligned<kMatmulQuad>(from)) {
    const float4 quad = *reinterpret_cast<const float4*>(from);
    to[0] = quad.x, to[1] = quad.y, to[2] = quad.z, to[3] = quad.w;
    return;
  }
#endif
  WM_UNROLL
  for (uint32_t i = 0; i < kMatmulQuad; i++) to[i] = i < valid ? from[i] : pad;
}

// Through the caches: another kernel reads them next.
WM_HD void store_floats(float* to, uint32_t valid, const float* from) {
#if defined(__CUDA_ARCH__)
  if (valid == kMatmulQuad && pack_aligned<kMatmulQuad>(to)) return store_quad(to, from);
#endif
  WM_UNROLL
  for (uint32_t i = 0; i < kMatmulQuad; i++) {
    if (i < valid) to[i] = from[i];
  }
}

WM_HD uint32_t quad_size(uint64_t count, uint64_t first) {
  return count - first < kMatmulQuad ? static_cast<uint32_t>(count - first) : kMatmulQuad;
}

// Rows of a table in f32: all from row `first` on, or those that `ids` names. out is [rows, width].
struct TableRows {
  Ends table;
  const int32_t* ids;  // may be null
  uint64_t first, rows, width;
  float* out;
};

inline constexpr uint32_t kPassThreads = 256;  // of the kernels that go through an array once

// One thread per four numbers of a row. Any grid.
WM_HD void table_rows_body(const GridPosition& at, const TableRows& call) {
  const uint64_t across = (call.width + kMatmulQuad - 1) / kMatmulQuad;
  for (uint64_t unit = uint64_t{at.block} * at.threads + at.thread; unit < call.rows * across;
       unit += uint64_t{at.blocks} * at.threads) {
    const uint64_t row = unit / across, column = unit % across * kMatmulQuad;
    const uint64_t from = call.ids ? static_cast<uint64_t>(call.ids[row]) : call.first + row;
    const uint32_t valid = quad_size(call.width, column);
    float values[kMatmulQuad];
    interpolated_quad(call.table, from * call.width + column, valid, values);
    store_floats(call.out + row * call.width + column, valid, values);
  }
}

WM_HD uint64_t table_rows_units(const TableRows& call) {
  return call.rows * ((call.width + kMatmulQuad - 1) / kMatmulQuad);
}

}  // namespace wisemerge::cuda
