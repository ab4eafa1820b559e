// Numbers from JavaScript that describe a call, read one after another. Ranges of memory are byte offsets
// into one arena (a host buffer) and are checked to lie in it, so that a wrong caller gets an error and never
// touches other memory.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/status.h"
#include "wisemerge/dtype.h"

namespace wisemerge {

// All throw Error: ERR_INTERNAL_ARGUMENT, ERR_INTERNAL_RANGE.
class NumberRow {
 public:
  NumberRow(const double* numbers, size_t length, size_t wanted, uint8_t* arena, uint64_t bytes)
      : next_(numbers), arena_(arena), bytes_(bytes) {
    if (length != wanted) {
      throw Error("ERR_INTERNAL_ARGUMENT",
                  "expected " + std::to_string(wanted) + " numbers, not " + std::to_string(length));
    }
  }

  double number() {
    if (!std::isfinite(*next_)) throw Error("ERR_INTERNAL_ARGUMENT", "a number is not finite");
    return *next_++;
  }

  uint64_t whole() {
    constexpr double kLimit = 4503599627370496.0;  // 2^52
    const double value = number();
    if (!(value >= 0 && value <= kLimit) || value != std::floor(value)) {
      throw Error("ERR_INTERNAL_ARGUMENT", std::to_string(value) + " is not a whole number");
    }
    return static_cast<uint64_t>(value);
  }

  DType float_dtype() {
    const uint64_t dtype = whole();
    if (dtype >= kDTypeCount || !is_float(static_cast<DType>(dtype))) {
      throw Error("ERR_INTERNAL_ARGUMENT", "dtype " + std::to_string(dtype) + " is not a float dtype");
    }
    return static_cast<DType>(dtype);
  }

  // `count` elements of `size` bytes at the offset that comes next.
  template <class T>
  T* range(const char* what, uint64_t count, uint64_t size = sizeof(T)) {
    const uint64_t offset = whole();
    if (offset % size != 0 || offset > bytes_ || count > (bytes_ - offset) / size) {
      throw Error("ERR_INTERNAL_RANGE",
                  std::to_string(count) + " elements of " + what + " at byte " + std::to_string(offset) +
                      " are misaligned or leave the arena of " + std::to_string(bytes_) + " bytes");
    }
    return reinterpret_cast<T*>(arena_ + offset);
  }
  template <class T>
  T* optional(const char* what, uint64_t count, uint64_t size = sizeof(T)) {
    if (*next_ == -1) {
      next_++;
      return nullptr;
    }
    return range<T>(what, count, size);
  }

 private:
  const double* next_;
  uint8_t* const arena_;
  const uint64_t bytes_;
};

// Throws ERR_INTERNAL_RANGE where the product is no size.
inline uint64_t times(uint64_t a, uint64_t b) {
  uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) {
    throw Error("ERR_INTERNAL_RANGE", "an array exceeds the address space");
  }
  return product;
}

}  // namespace wisemerge
