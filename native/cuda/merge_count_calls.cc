// WmMergeCount and WmMergeOverlap on the device: counters come down with every range and are added up here.
#include "cuda/merge_keeps.h"
#include "cuda/merge_launch.h"
#include "wisemerge/merge_arguments.h"

namespace wisemerge::cuda {
namespace {

constexpr uint64_t kUnit = 64;
constexpr size_t kBuckets = 1u << 16;
static_assert(kBuckets <= Slot::kCounters);

}  // namespace

WmCode run_merge_count(WmContext& context, const WmMergeCount& call, WmCancelFlag cancelled) {
  MergeFeed::accept(check_merge_count, call);
  const bool row_scores = call.score == WM_SCORE_ROW_SCALED;
  MergeCost cost;
  if (row_scores) add_row_scores_cost(call.inputs.row, cost);
  MergeCount range{};
  range.score = call.score;
  range.shift = call.shift;
  range.prefix = call.prefix;
  const uint32_t model = call.score == WM_SCORE_VARIANCE ? MergeFeed::kAllModels : call.model;
  MergeFeed feed(context, call.inputs, model, kUnit, cost, cancelled);
  while (feed.next()) {
    if (row_scores) range.row_scores = place_row_scores(feed, call.row_scores);
    range.chunk = feed.chunk();
    range.table = feed.slot().counters(call.table, kBuckets);
    feed.submit([&](cudaStream_t stream) { check(launch(range, stream), "launching a count of ranks"); });
  }
  return feed.finish();
}

WmCode run_merge_overlap(WmContext& context, const WmMergeOverlap& call, WmCancelFlag cancelled) {
  MergeFeed::accept(check_merge_overlap, call);
  MergeOverlap range{};
  range.epsilon = call.epsilon;
  MergeFeed feed(context, call.inputs, MergeFeed::kAllModels, kUnit, {}, cancelled);
  while (feed.next()) {
    range.chunk = feed.chunk();
    range.counts = feed.slot().counters(call.counts, 2 * size_t{call.inputs.models});
    feed.submit([&](cudaStream_t stream) { check(launch(range, stream), "launching a count of overlaps"); });
  }
  return feed.finish();
}

}  // namespace wisemerge::cuda
