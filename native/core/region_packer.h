// Where ranges of files lie in a region of a slot, and the reads that bring them there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/block.h"
#include "core/stream_work.h"

namespace wisemerge {

// Shorter reads go through the page cache: aligning them would cost more than it saves.
inline constexpr uint64_t kMinDirectRead = 64 << 10;

// Joins neighbours, so that tensors that lie side by side are read at once.
class RegionPacker {
 public:
  // Where a range will lie once the region is packed.
  struct Place {
    size_t run;
    uint64_t delta;
  };

  // `files` must outlive it.
  explicit RegionPacker(const std::vector<StreamFile>& files) : files_(&files) {}

  // `count` elements of `item_size` bytes from `from` on.
  Place add(FilePlace from, uint64_t count, uint64_t item_size);

  // The most that `pack` may return so far, and for a further range of `bytes`.
  uint64_t bound(uint64_t bytes = 0) const;

  // Places all ranges, elements aligned where that costs nothing; returns the bytes of the region in use.
  uint64_t pack();

  uint64_t at(Place place) const { return runs_[place.run].at + place.delta; }

  // The reads into a region that begins at byte `region` of the slot.
  void append_reads(uint64_t region, std::vector<BlockRead>& reads) const;

 private:
  struct Run {
    FilePlace from;
    uint64_t length, item_size, at;
  };

  bool direct(const Run& run) const;
  // From the start of a direct read to the range it is for: the same in the file and in memory.
  uint64_t slack(const Run& run) const;

  const std::vector<StreamFile>* files_;
  std::vector<Run> runs_;
  uint64_t bytes_ = 0;
};

}  // namespace wisemerge
