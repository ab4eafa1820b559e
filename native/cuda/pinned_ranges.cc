#include "cuda/pinned_ranges.h"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <mutex>
#include <string>

#include "cuda/failure.h"

namespace wisemerge::cuda {
namespace {

// What the contexts of this process have page-locked. Several may have the same range, of which each copies
// on its own: the last one that leaves it unlocks it.
struct Locked {
  size_t bytes;
  uint32_t users;
};
struct Registry {
  std::mutex mutex;
  std::map<uintptr_t, Locked> ranges;
};
// Never destroyed: contexts may be closed while the process ends.
Registry& registry() {
  static auto* const all = new Registry;
  return *all;
}

cudaError_t lock_pages(uintptr_t address, size_t bytes) {
  const std::lock_guard<std::mutex> lock(registry().mutex);
  const auto known = registry().ranges.find(address);
  if (known != registry().ranges.end() && known->second.bytes == bytes) {
    known->second.users++;
    return cudaSuccess;
  }
  // Portable: page-locked for every device of the process.
  const cudaError_t status =
      cudaHostRegister(reinterpret_cast<void*>(address), bytes, cudaHostRegisterPortable);
  cudaGetLastError();
  if (status == cudaSuccess) registry().ranges[address] = {bytes, 1};
  return status;
}

void unlock_pages(uintptr_t address) {
  const std::lock_guard<std::mutex> lock(registry().mutex);
  const auto known = registry().ranges.find(address);
  if (--known->second.users > 0) return;
  registry().ranges.erase(known);
  // Memory freed before it is unpinned is the caller's error; there is nobody to tell.
  if (cudaHostUnregister(reinterpret_cast<void*>(address)) != cudaSuccess) cudaGetLastError();
}

// By its ends: a registration that overlaps a part only must not pass for the whole.
bool whole_range_pinned(void* memory, size_t bytes) {
  const std::byte* first = static_cast<const std::byte*>(memory);
  for (const std::byte* end : {first, first + bytes - 1}) {
    cudaPointerAttributes attributes{};
    if (cudaPointerGetAttributes(&attributes, end) != cudaSuccess) {
      cudaGetLastError();
      return false;
    }
    if (attributes.type != cudaMemoryTypeHost) return false;
  }
  return true;
}

}  // namespace

PinnedRanges::~PinnedRanges() {
  for (const auto& [address, range] : ranges_) {
    if (range.locked_here) unlock_pages(address);
  }
}

void PinnedRanges::add(void* memory, size_t bytes) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory);
  if (!memory || bytes == 0) throw Failure{WM_INVALID_ARGUMENT, 0, "pin: the range is empty"};
  if (ranges_.count(address)) throw Failure{WM_INVALID_ARGUMENT, 0, "pin: the range is pinned already"};
  const cudaError_t status = lock_pages(address, bytes);
  const bool elsewhere = status == cudaErrorHostMemoryAlreadyRegistered;
  if (status != cudaSuccess && !(elsewhere && whole_range_pinned(memory, bytes))) {
    fail(status, "pinning " + std::to_string(bytes) + " bytes of host memory");
  }
  ranges_[address] = {bytes, !elsewhere};
}

void PinnedRanges::remove(void* memory) {
  const auto found = ranges_.find(reinterpret_cast<uintptr_t>(memory));
  if (found == ranges_.end()) return;
  if (found->second.locked_here) unlock_pages(found->first);
  ranges_.erase(found);
}

bool PinnedRanges::contains(const void* memory, size_t bytes) const {
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory);
  auto next = ranges_.upper_bound(address);
  if (next == ranges_.begin()) return false;
  const auto& [begin, range] = *--next;
  return address - begin <= range.bytes && bytes <= range.bytes - (address - begin);
}

}  // namespace wisemerge::cuda
