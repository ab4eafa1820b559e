// The keeps of a call on their way to the device with each range: their scores and masks are as long as it
// is.
#pragma once

#include <utility>
#include <vector>

#include "cuda/merge_feed.h"

namespace wisemerge::cuda {

class MergeKeeps {
 public:
  // `keeps`: one per model, or null for all.
  MergeKeeps(const WmMergeInputs& inputs, const WmKeep* keeps);

  // Adds what they take of a slot.
  void add_cost(MergeCost& cost) const;
  // Whether one is by the variance of all models.
  bool by_variance() const { return by_variance_; }
  // Places what they point to, before the range has a slot; table() is for afterwards, null for all.
  void place(MergeFeed& feed);
  const WmKeep* table(Slot& slot) const {
    return keeps_.empty() ? nullptr : slot.table(placed_.data(), placed_.size());
  }

 private:
  template <class T, class Place>
  const T* placed(const T* host, const Place& place);

  const uint64_t row_;
  const std::vector<WmKeep> keeps_;
  std::vector<WmKeep> placed_;
  std::vector<std::pair<const void*, const void*>> known_;  // on the host, on the device: models may share
  bool by_variance_ = false;
};

// Scores of the range's rows, in device memory.
const double* place_row_scores(MergeFeed& feed, const double* scores);
// What they take of a slot.
void add_row_scores_cost(uint64_t row, MergeCost& cost);

}  // namespace wisemerge::cuda
