// The segments of one slot, one table and one launch per kernel.
#pragma once

#include <algorithm>
#include <vector>

#include "cuda/launch.h"
#include "cuda/slot.h"

namespace wisemerge::cuda {

template <class Kernel>
class Batches {
 public:
  using Segment = typename Kernel::Segment;

  bool empty() const { return batches_.empty(); }

  void add(const Kernel& kernel, Segment segment) {
    auto batch = std::find_if(batches_.begin(), batches_.end(),
                              [&](const Batch& b) { return b.kernel.function == kernel.function; });
    if (batch == batches_.end()) batch = batches_.insert(batch, Batch{kernel, {}, {}});
    kernel.append(segment, batch->totals);
    batch->segments.push_back(segment);
    segments_++;
  }

  // Bytes that submit() may take of the slot's tables if one more segment joins.
  size_t table_bytes() const {
    return slot_bytes((segments_ + 1) * sizeof(Segment)) + (batches_.size() + 1) * Slot::kAlignment;
  }

  // Queues the slot's transfers around the launches; empty afterwards.
  void submit(Slot& slot) {
    std::vector<const Segment*> tables;
    for (const Batch& batch : batches_) {
      tables.push_back(slot.table(batch.segments.data(), batch.segments.size()));
    }
    slot.submit([&](cudaStream_t stream) {
      for (size_t i = 0; i < batches_.size(); i++) {
        check(launch(batches_[i].kernel, tables[i], batches_[i].totals, stream), "launching a kernel");
      }
    });
    batches_.clear();
    segments_ = 0;
  }

 private:
  struct Batch {
    Kernel kernel;
    std::vector<Segment> segments;
    typename Kernel::Totals totals;
  };
  std::vector<Batch> batches_;
  size_t segments_ = 0;
};

}  // namespace wisemerge::cuda
