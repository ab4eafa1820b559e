// One stage of the transfer pipeline: device memory for a batch of tensor ranges, its pinned mirror, and the
// copies in and out. Filled on the host, submitted once, drained before it is filled again.
//
// Host memory that is pinned is copied from and to directly. Everything else goes through the mirror, and so
// do small ranges, whose separate copies would cost more than the bytes: their neighbours share one copy.
// (A cudaMemcpyAsync on pageable memory would be correct too, but it holds the host until the driver has
// staged the bytes, so transfers of different slots would not overlap.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "cuda/pinned_ranges.h"
#include "cuda/resources.h"

namespace wisemerge::cuda {

struct Streams {
  Stream upload, compute, download;
};

class Slot {
 public:
  // 16 MiB are 0.3 ms of transfer: long against the cost of issuing it, short against a cancelled call.
  static constexpr size_t kInputBytes = 16u << 20;
  static constexpr size_t kOutputBytes = 16u << 20;
  static constexpr size_t kTableBytes = 1u << 20;
  static constexpr size_t kCounters = (1u << 16) + (1u << 14);  // a table of 65536 among them
  static constexpr size_t kAlignment = 256;                     // of every range placed here
  // Below this a pinned range is staged nonetheless.
  static constexpr size_t kDirectBytes = 64u << 10;

  Slot(Streams& streams, const PinnedRanges& pinned);
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // What can still be placed.
  size_t input_room() const { return kInputBytes - input_used_; }
  size_t output_room() const { return kOutputBytes - output_used_; }
  size_t table_room() const { return kTableBytes - table_used_; }
  size_t counter_room() const { return kCounters - counters_used_; }

  // Each returns device memory; the caller has checked the room (bytes rounded up to kAlignment).
  // input() reads `host` now or until wait(); output() writes it until wait().
  const void* input(const void* host, size_t bytes);
  void* output(void* host, size_t bytes) { return output(host, bytes, bytes, 1); }
  // `count` lines of `bytes` that lie `stride` bytes apart on the host, without gaps on the device.
  void* output(void* host, size_t bytes, size_t stride, size_t count);
  void* scratch(size_t bytes);  // from the output room, not copied back
  template <class T>
  const T* table(const T* rows, size_t count) {
    return static_cast<const T*>(table(static_cast<const void*>(rows), count * sizeof(T)));
  }
  // Counters that start at 0 and whose final values wait() adds to into[0..count).
  uint64_t* counters(uint64_t* into, size_t count);

  // Queues upload, `launch(stream)` and download.
  template <class Launch>
  void submit(Launch&& launch) {
    begin_compute();
    launch(static_cast<cudaStream_t>(streams_.compute));
    end_compute();
  }

  // Waits for the submitted batch, hands its results over and empties the slot.
  void wait();
  // Empties the slot without results; the streams must be idle.
  void discard();

 private:
  struct Output {
    std::byte* host;
    size_t offset, line, stride, count;
    bool staged;
    size_t bytes() const { return line * count; }
  };
  struct Count {
    uint64_t* into;
    size_t first, count;
  };

  const void* table(const void* rows, size_t bytes);
  void begin_compute();
  void end_compute();
  void flush_staged_input();
  bool staged(const void* host, size_t bytes) const;

  Streams& streams_;
  const PinnedRanges& pinned_;
  DeviceMemory input_, output_, table_, counters_;
  PinnedMemory table_mirror_, counters_mirror_;
  std::unique_ptr<PinnedMemory> input_mirror_, output_mirror_;  // made when first needed
  Event uploaded_, computed_, downloaded_;
  size_t input_used_ = 0, output_used_ = 0, table_used_ = 0, counters_used_ = 0;
  size_t staged_begin_ = 0, staged_end_ = 0;  // mirror bytes not yet uploaded
  std::vector<Output> outputs_;
  std::vector<Count> counts_;
  bool submitted_ = false;
};

inline size_t slot_bytes(size_t bytes) {
  return (bytes + Slot::kAlignment - 1) / Slot::kAlignment * Slot::kAlignment;
}

}  // namespace wisemerge::cuda
