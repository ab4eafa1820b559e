// Sizes of memory that no memory has.
#include "core/float_array.h"

#include <cstdint>

#include "check.h"
#include "core/status.h"
#include "network/memory_parts.h"

using namespace wisemerge;

TEST("float array: a size beyond memory, or one whose bytes wrap around, cannot be had") {
  FloatArray array;
  for (const size_t count : {SIZE_MAX / 4 + 2, SIZE_MAX}) {
    bool refused = false;
    try {
      array.reserve(count);
    } catch (const std::bad_alloc&) {
      refused = true;
    }
    CHECK(refused);
  }
  float* const some = array.reserve(16);
  CHECK_EQ(reinterpret_cast<uintptr_t>(some) % 64, 0u);
}

TEST("memory parts: those that together exceed all memory are refused") {
  network::Parts parts;
  constexpr uint64_t kHalf = uint64_t{1} << 63;
  CHECK_EQ(parts.take(kHalf), 0u);
  bool refused = false;
  try {
    parts.take(kHalf);
  } catch (const Error& error) {
    refused = error.code() == "ERR_INTERNAL_RANGE";
  }
  CHECK(refused);
}
