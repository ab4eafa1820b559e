// Host memory that was page-locked through the backend, by address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace wisemerge::cuda {

class PinnedRanges {
 public:
  PinnedRanges() = default;
  ~PinnedRanges();
  PinnedRanges(const PinnedRanges&) = delete;
  PinnedRanges& operator=(const PinnedRanges&) = delete;

  // Throws Failure: WM_INVALID_ARGUMENT for an empty or already pinned range, else what CUDA says.
  void add(void* memory, size_t bytes);
  // Ignores memory that add() was not called with.
  void remove(void* memory);
  // Whether one range holds all of [memory, memory + bytes).
  bool contains(const void* memory, size_t bytes) const;

 private:
  struct Range {
    size_t bytes;
    bool locked_here;  // false: whoever else in the process has locked it will unlock it
  };
  std::map<uintptr_t, Range> ranges_;
};

}  // namespace wisemerge::cuda
