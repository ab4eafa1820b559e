// Arguments from JavaScript. lib/native.ts is the only caller and checks for users; a mismatch here is a bug
// of ours, reported as ERR_INTERNAL_ARGUMENT instead of read as garbage.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/status.h"

namespace wisemerge {

[[noreturn]] inline void throw_argument(const char* name, const char* wanted) {
  throw Error("ERR_INTERNAL_ARGUMENT", std::string(name) + " must be " + wanted);
}

inline uint64_t whole_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  constexpr double kMaxExact = 9007199254740991.0;
  const double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1.0;
  if (!(value >= 0 && value <= kMaxExact) || value != static_cast<double>(static_cast<uint64_t>(value))) {
    throw_argument(name, "a whole number from 0 to 2^53 - 1");
  }
  return static_cast<uint64_t>(value);
}

inline int int_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const uint64_t value = whole_argument(info, index, name);
  if (value > INT32_MAX) throw_argument(name, "at most 2^31 - 1");
  return static_cast<int>(value);
}

inline Napi::Float64Array doubles_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsTypedArray() ||
      info[index].As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    throw_argument(name, "a Float64Array");
  }
  return info[index].As<Napi::Float64Array>();
}

inline std::vector<double> alphas_argument(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Float64Array array = doubles_argument(info, index, "alphas");
  const std::vector<double> alphas(array.Data(), array.Data() + array.ElementLength());
  if (alphas.empty() || alphas.size() > UINT32_MAX) throw_argument("alphas", "one or more numbers");
  for (const double alpha : alphas) {
    if (!std::isfinite(alpha)) throw_argument("alphas", "finite numbers");
  }
  return alphas;
}

inline std::string string_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsString()) throw_argument(name, "a string");
  return info[index].As<Napi::String>().Utf8Value();
}

}  // namespace wisemerge
