// Parts of one array of floats that are taken and given back in a known order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "core/status.h"

namespace wisemerge::network {

inline constexpr uint64_t kLineFloats = 16;  // of a cache line

// `count` floats in whole cache lines.
inline uint64_t whole_lines(uint64_t count) { return (count + kLineFloats - 1) / kLineFloats * kLineFloats; }

// Memory in use: where each part begins, and where it ends. New parts go into the first gap that holds them.
// Throws ERR_INTERNAL_RANGE where there is none.
class Parts {
 public:
  uint64_t take(uint64_t size) {
    uint64_t begin = 0;
    for (const auto& [first, last] : used_) {
      if (first - begin >= size) break;
      begin = last;
    }
    uint64_t end;
    if (__builtin_add_overflow(begin, size, &end)) {
      throw Error("ERR_INTERNAL_RANGE", "the values of a network exceed the address space");
    }
    used_[begin] = end;
    highest_ = std::max(highest_, end);
    return begin;
  }
  void free(uint64_t begin) { used_.erase(begin); }
  uint64_t highest() const { return highest_; }

 private:
  std::map<uint64_t, uint64_t> used_;
  uint64_t highest_ = 0;
};

}  // namespace wisemerge::network
