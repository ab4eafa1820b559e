#include "cuda/merge_keeps.h"

#include <algorithm>
#include <set>

namespace wisemerge::cuda {
namespace {

bool has_row_scores(const WmKeep& keep) {
  return keep.rule == WM_KEEP_RANKED && keep.score == WM_SCORE_ROW_SCALED;
}

std::vector<WmKeep> copy_of(const WmKeep* keeps, uint32_t models) {
  if (!keeps || std::all_of(keeps, keeps + models, [](const WmKeep& k) { return k.rule == WM_KEEP_ALL; })) {
    return {};
  }
  return {keeps, keeps + models};
}

}  // namespace

const double* place_row_scores(MergeFeed& feed, const double* scores) {
  const uint64_t rows = feed.last_row() - feed.first_row() + 1;
  return static_cast<const double*>(feed.place(scores + feed.first_row(), rows * sizeof(double)));
}

void add_row_scores_cost(uint64_t row, MergeCost& cost) {
  cost.input += static_cast<double>(sizeof(double)) / static_cast<double>(row);
  cost.fixed_input += 2 * sizeof(double) + Slot::kAlignment;  // the rows at both ends are parts
}

MergeKeeps::MergeKeeps(const WmMergeInputs& inputs, const WmKeep* keeps)
    : row_(inputs.row), keeps_(copy_of(keeps, inputs.models)), placed_(keeps_) {
  known_.reserve(keeps_.size());
  for (const WmKeep& keep : keeps_) {
    by_variance_ = by_variance_ || (keep.rule == WM_KEEP_RANKED && keep.score == WM_SCORE_VARIANCE);
  }
}

void MergeKeeps::add_cost(MergeCost& cost) const {
  std::set<const void*> known;
  for (const WmKeep& keep : keeps_) {
    if (has_row_scores(keep) && known.insert(keep.row_scores).second) add_row_scores_cost(row_, cost);
    if (keep.rule != WM_KEEP_MASKED || !known.insert(keep.mask).second) continue;
    cost.input += 1.0 / 8;
    cost.fixed_input += 2 + Slot::kAlignment;
  }
}

template <class T, class Place>
const T* MergeKeeps::placed(const T* host, const Place& place) {
  const auto found =
      std::find_if(known_.begin(), known_.end(), [&](const auto& pair) { return pair.first == host; });
  if (found != known_.end()) return static_cast<const T*>(found->second);
  known_.emplace_back(host, place());
  return static_cast<const T*>(known_.back().second);
}

void MergeKeeps::place(MergeFeed& feed) {
  known_.clear();
  const uint64_t byte = feed.at() / 8, bytes = (feed.at() % 8 + feed.count() + 7) / 8;
  for (size_t i = 0; i < keeps_.size(); i++) {
    const WmKeep& keep = keeps_[i];
    if (has_row_scores(keep)) {
      placed_[i].row_scores =
          placed(keep.row_scores, [&] { return place_row_scores(feed, keep.row_scores); });
    }
    if (keep.rule == WM_KEEP_MASKED) {
      placed_[i].mask = placed(keep.mask, [&] { return feed.place(keep.mask + byte, bytes); });
    }
  }
}

}  // namespace wisemerge::cuda
