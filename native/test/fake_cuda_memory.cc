#include "fake_cuda_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

namespace wisemerge::test {
namespace {

constexpr uintptr_t kPage = 4096;
constexpr int kFresh = 0x5a, kFreed = 0xa6;
constexpr size_t kFreedBytes = 1u << 20;  // that lose what they held: the rest would take its time

struct Range {
  size_t bytes;
  FakeMemory kind;
};

struct Registry {
  std::mutex mutex;
  std::map<uintptr_t, Range> ranges;  // by their first byte

  template <class Wanted>
  bool holds(const void* pointer, size_t bytes, const Wanted& wanted) {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    const auto next = ranges.upper_bound(address);
    if (next == ranges.begin()) return false;
    const auto& [begin, range] = *std::prev(next);
    const size_t before = address - begin;
    return wanted(range.kind) && before <= range.bytes && bytes <= range.bytes - before;
  }
};

// Never destroyed: contexts may be closed by destructors that run later.
Registry& registry() {
  static auto* const all = new Registry;
  return *all;
}

}  // namespace

cudaError_t fake_allocate(void** pointer, size_t bytes, FakeMemory kind) {
  const size_t whole = (bytes + 255) / 256 * 256;
  void* const made = std::aligned_alloc(256, whole);
  if (!made) return cudaErrorMemoryAllocation;
  std::memset(made, kFresh, whole);
  const std::lock_guard<std::mutex> lock(registry().mutex);
  registry().ranges[reinterpret_cast<uintptr_t>(made)] = {bytes, kind};
  *pointer = made;
  return cudaSuccess;
}

cudaError_t fake_free(void* pointer, FakeMemory kind) {
  if (!pointer) return cudaSuccess;
  {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    const auto found = registry().ranges.find(reinterpret_cast<uintptr_t>(pointer));
    if (found == registry().ranges.end() || found->second.kind != kind) return cudaErrorInvalidValue;
    std::memset(pointer, kFreed, std::min(found->second.bytes, kFreedBytes));
    registry().ranges.erase(found);
  }
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t fake_register(void* pointer, size_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(pointer);
  if (!pointer || bytes == 0) return cudaErrorInvalidValue;
  const std::lock_guard<std::mutex> lock(registry().mutex);
  for (const auto& [begin, range] : registry().ranges) {
    if (range.kind != FakeMemory::kRegistered) continue;
    const uintptr_t last_page = (begin + range.bytes - 1) / kPage, own_last = (first + bytes - 1) / kPage;
    if (begin / kPage <= own_last && first / kPage <= last_page) return cudaErrorHostMemoryAlreadyRegistered;
  }
  registry().ranges[first] = {bytes, FakeMemory::kRegistered};
  return cudaSuccess;
}

cudaError_t fake_unregister(void* pointer) {
  const std::lock_guard<std::mutex> lock(registry().mutex);
  const auto found = registry().ranges.find(reinterpret_cast<uintptr_t>(pointer));
  if (found == registry().ranges.end() || found->second.kind != FakeMemory::kRegistered) {
    return cudaErrorHostMemoryNotRegistered;
  }
  registry().ranges.erase(found);
  return cudaSuccess;
}

bool fake_device_holds(const void* pointer, size_t bytes) {
  return registry().holds(pointer, bytes, [](FakeMemory kind) { return kind == FakeMemory::kDevice; });
}

bool fake_pinned_holds(const void* pointer, size_t bytes) {
  return registry().holds(pointer, bytes, [](FakeMemory kind) { return kind != FakeMemory::kDevice; });
}

}  // namespace wisemerge::test
