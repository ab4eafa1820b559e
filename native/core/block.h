// A block of a stream (core/block_stream.h): what is read into a slot of memory, computed there and written
// from it.
#pragma once

#include <cstdint>
#include <vector>

#include "core/file_io.h"
#include "core/segments.h"

namespace wisemerge {

// The regions of a slot, in bytes: x, y, then every output, each with room for `block` bytes in whole pages.
struct SlotShape {
  uint64_t block = 0, x = 0, y = 0;
  uint32_t outputs = 0;  // none: blocks are compared

  uint64_t out(uint32_t k) const { return x + y + k * whole_pages(block); }
  uint64_t bytes() const { return out(outputs); }
};

// All places are bytes from the start of the slot that a block gets.
struct BlockRead {
  uint32_t file;  // of the work
  bool direct;    // past the page cache
  uint64_t position;
  uint64_t length;  // asked for: whole pages in direct I/O, which may reach past the end of the file
  uint64_t wanted;  // must come, or the file has become shorter
  uint64_t at;
};

struct BlockCopy {
  uint64_t from, to, length;
};

struct Block {
  std::vector<BlockRead> reads;
  std::vector<BlockCopy> copies;
  LerpSegments lerp;
  std::vector<CompareSegment> compare;
  // [row of lerp]: the segment of the work that it is part of. [row of compare]: where its sums begin.
  std::vector<size_t> results;
  uint32_t output = 0;                // of a lerp stream: which set of files
  uint64_t position = 0, length = 0;  // in each of its files
  std::vector<uint64_t> outs;         // where the outputs begin
};

}  // namespace wisemerge
