// One opened device: three streams, so that upload, kernels and download of different slots overlap, and the
// ring of slots. Device memory is taken by the first call and kept; it does not grow with the tensors.
#pragma once

#include <array>
#include <list>
#include <memory>

#include "cuda/cublas_lt.h"
#include "cuda/pinned_ranges.h"
#include "cuda/slot.h"
#include "wisemerge/backend.h"

struct WmContext {
 public:
  // `memory`: the most bytes of device memory that one network takes; 0: what is free.
  WmContext(int ordinal, WmPrecision precision, uint64_t memory);
  ~WmContext();
  WmContext(const WmContext&) = delete;
  WmContext& operator=(const WmContext&) = delete;

  // The current device is a property of the thread, and calls may come from any.
  void make_current() const;

  WmPrecision precision() const { return precision_; }
  // Of WM_TF32; null: none.
  wisemerge::cuda::CublasLt* library() const { return library_.get(); }
  wisemerge::cuda::PinnedRanges& pinned() { return pinned_; }
  wisemerge::cuda::Streams& streams() { return *streams_; }
  uint64_t memory_limit() const { return memory_; }
  std::list<std::unique_ptr<WmNetwork>>& networks() { return networks_; }

  // The least recently submitted slot: waits for its batch, hands over its results, returns it empty.
  wisemerge::cuda::Slot& next_slot();
  // Waits for all batches and hands over their results.
  void finish();
  // Waits for the copies to and from host memory that are queued.
  void wait_for_copies() noexcept;
  // Waits until the device touches no memory of the caller any more; results are lost.
  void abandon() noexcept;

 private:
  // Two would overlap one transfer with one kernel; four keep both copy engines fed while the host fills one.
  static constexpr size_t kSlots = 4;

  int ordinal_;
  WmPrecision precision_;
  uint64_t memory_;
  wisemerge::cuda::PinnedRanges pinned_;
  std::unique_ptr<wisemerge::cuda::CublasLt> library_;
  std::unique_ptr<wisemerge::cuda::Streams> streams_;
  std::array<std::unique_ptr<wisemerge::cuda::Slot>, kSlots> slots_;
  size_t turn_ = 0;
  std::list<std::unique_ptr<WmNetwork>> networks_;  // opened in this context
};
