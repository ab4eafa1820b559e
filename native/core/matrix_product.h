// Products of f32 matrices as calls of a backend.
#pragma once

#include <cstdint>

#include "wisemerge/backend.h"
#include "wisemerge/dtype.h"

namespace wisemerge {

// Rows of `width` numbers one after another, as they are or transposed.
inline WmMatrix rows_of(const float* data, uint64_t width) {
  return {static_cast<int32_t>(DType::kF32), data, width, 1};
}
inline WmMatrix columns_of(const float* data, uint64_t width) {
  return {static_cast<int32_t>(DType::kF32), data, 1, width};
}

// out [m, n] = a [m, k] w^T, w [n, k].
inline WmMatmul matrix_product(uint64_t m, uint64_t n, uint64_t k, const WmMatrix& a, const WmMatrix& w,
                               float* out) {
  WmMatmul call{};
  call.m = m;
  call.n = n;
  call.k = k;
  call.a = a;
  call.w0 = w;
  call.out = out;
  call.out_stride = n;
  return call;
}

}  // namespace wisemerge
