// The numbers of a call that works in one arena (a host buffer): ranges of memory are byte offsets into it,
// and are checked to lie in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/numbers.h"
#include "core/status.h"

namespace wisemerge {

// All throw Error: ERR_INTERNAL_ARGUMENT, ERR_INTERNAL_RANGE.
class NumberRow : public Numbers {
 public:
  NumberRow(const double* numbers, size_t length, size_t wanted, uint8_t* arena, uint64_t bytes)
      : Numbers(numbers, length), arena_(arena), bytes_(bytes) {
    if (length != wanted) {
      throw Error("ERR_INTERNAL_ARGUMENT",
                  "expected " + std::to_string(wanted) + " numbers, not " + std::to_string(length));
    }
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
    return none() ? nullptr : range<T>(what, count, size);
  }

 private:
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
