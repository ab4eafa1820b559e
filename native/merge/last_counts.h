// Counts of keys by the last of their digits (ranks.h), and where they were counted.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "merge/ranks.h"

namespace wisemerge {

// Entries that one table may remember: distinct keys of all ranges together. 1 MiB.
inline constexpr size_t kRemembered = 1u << 16;

// Counts of one last level, and of which range each was, so that no further sweep has to find a key's ranges:
// differences of 16-bit floats have few distinct keys that begin alike. Of too many nothing is remembered.
class LastCounts {
 public:
  std::vector<uint64_t> table = std::vector<uint64_t>(kTable);

  bool remembers() const { return remembers_; }
  // Adds the counts of a range and clears them. Ranges may come in any order.
  void add(uint64_t first, std::vector<uint64_t>& counts) {
    ranges_.push_back({first, entries_.size()});
    for (size_t digit = 0; digit < kTable; digit++) {
      if (counts[digit] == 0) continue;
      table[digit] += counts[digit];
      if (remembers_)
        entries_.push_back({static_cast<uint32_t>(digit), static_cast<uint32_t>(counts[digit])});
      counts[digit] = 0;
    }
    remembers_ = remembers_ && entries_.size() <= kRemembered;
    if (!remembers_) entries_ = {};
  }
  // Ranges that were added.
  size_t size() const { return ranges_.size(); }
  bool has(uint64_t first) const {
    return std::any_of(ranges_.begin(), ranges_.end(), [first](const Range& r) { return r.first == first; });
  }
  // How many have the digit, range by range in ascending order; nothing where that is not known.
  std::vector<RangeCount> of(uint64_t digit) const {
    std::vector<RangeCount> counts;
    for (size_t r = 0; remembers_ && r < ranges_.size(); r++) {
      const size_t end = r + 1 < ranges_.size() ? ranges_[r + 1].entry : entries_.size();
      for (size_t i = ranges_[r].entry; i < end; i++) {
        if (entries_[i].digit == digit) counts.push_back({ranges_[r].first, entries_[i].count});
      }
    }
    std::sort(counts.begin(), counts.end(),
              [](const RangeCount& a, const RangeCount& b) { return a.first < b.first; });
    return counts;
  }

 private:
  struct Entry {
    uint32_t digit, count;
  };
  struct Range {
    uint64_t first;
    size_t entry;
  };
  std::vector<Entry> entries_;
  std::vector<Range> ranges_;
  bool remembers_ = true;
};

}  // namespace wisemerge
