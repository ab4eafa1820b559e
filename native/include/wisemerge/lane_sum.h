// Sums whose order is fixed by the number of terms, so that they have the same bits whatever the threads and
// the instruction set: 16 interleaved partial sums, added up in ascending order.
#pragma once

#include <cstddef>

namespace wisemerge::network {

inline constexpr size_t kSumLanes = 16;

// value(0) + ... + value(count - 1), with partial sums in T.
template <class T, class Value>
inline double lane_sum(size_t count, const Value& value) {
  T lanes[kSumLanes] = {};
  const size_t whole = count / kSumLanes * kSumLanes;
  for (size_t i = 0; i < whole; i += kSumLanes) {
    for (size_t l = 0; l < kSumLanes; l++) lanes[l] += value(i + l);
  }
  for (size_t i = whole; i < count; i++) lanes[i - whole] += value(i);
  double total = 0;
  for (const T lane : lanes) total += static_cast<double>(lane);
  return total;
}

}  // namespace wisemerge::network
