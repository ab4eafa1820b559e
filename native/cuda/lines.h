// Equal lines of host memory, some distance apart, on their way to the device: rows of logits, rows or
// columns of a matrix.
#pragma once

#include "cuda/slot.h"

namespace wisemerge::cuda {

struct Lines {
  const void* first;
  uint64_t stride, bytes;  // bytes from one line to the next, and of each

  // Lines with small gaps travel as one range with them; the others one by one.
  bool together() const { return stride >= bytes && stride <= slot_bytes(bytes); }
  // Bytes from one line to the next in a slot, once placed.
  uint64_t pitch() const { return together() ? stride : slot_bytes(bytes); }
  const void* at(uint64_t line) const { return static_cast<const char*>(first) + line * stride; }
};

// How many lines have room in `bytes` of a slot.
inline uint64_t lines_fitting(const Lines& lines, size_t bytes) {
  if (bytes < Slot::kAlignment) return 0;
  return (bytes - Slot::kAlignment) / (lines.pitch() > 0 ? lines.pitch() : 1);
}

// Places `count` lines, which the caller has found to fit, and returns the first; the next ones follow at the
// pitch.
inline const void* place_lines(Slot& slot, const Lines& lines, uint64_t line, uint64_t count) {
  if (lines.together()) return slot.input(lines.at(line), (count - 1) * lines.stride + lines.bytes);
  const void* const first = slot.input(lines.at(line), lines.bytes);
  for (uint64_t i = 1; i < count; i++) slot.input(lines.at(line + i), lines.bytes);
  return first;
}

}  // namespace wisemerge::cuda
