// What jobs compute, as the arrays that JavaScript gets.
#pragma once

#include <napi.h>

#include <cstdint>
#include <cstdio>
#include <vector>

#include "wisemerge/compare.h"

namespace wisemerge {

inline constexpr size_t kCompareSumColumns = 10;

inline double* put(double* next, const std::vector<uint64_t>& counts) {
  for (const uint64_t count : counts) *next++ = static_cast<double>(count);
  return next;
}

inline double* put(double* next, const std::vector<CompareSums>& rows) {
  for (const CompareSums& s : rows) {
    for (const double sum : {s.xx, s.yy, s.xy, s.dd, s.max_abs}) *next++ = sum;
    next = put(next, std::vector<uint64_t>{s.unchanged, s.x_nan, s.x_inf, s.y_nan, s.y_inf});
  }
  return next;
}

inline Napi::Float64Array to_array(Napi::Env env, const std::vector<uint64_t>& counts) {
  Napi::Float64Array array = Napi::Float64Array::New(env, counts.size());
  put(array.Data(), counts);
  return array;
}

inline Napi::Float64Array to_array(Napi::Env env, const std::vector<CompareSums>& rows) {
  Napi::Float64Array array = Napi::Float64Array::New(env, rows.size() * kCompareSumColumns);
  put(array.Data(), rows);
  return array;
}

// A hash as it is written: 16 hex digits.
inline Napi::String to_hex(Napi::Env env, uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(hash));
  return Napi::String::New(env, text);
}

}  // namespace wisemerge
