// WmMergeRankMask and WmMergeDivergence on the device.
#include <algorithm>
#include <numeric>

#include "cuda/merge_feed.h"
#include "cuda/merge_launch.h"
#include "wisemerge/merge_arguments.h"

namespace wisemerge::cuda {
namespace {

// Memory of ranks of rows that are too long for shared memory, and the blocks that share it.
constexpr uint64_t kRankBytes = 64u << 20;
constexpr uint64_t kRankBlocks = 1024;

}  // namespace

WmCode run_merge_rank_mask(WmContext& context, const WmMergeRankMask& call, WmCancelFlag cancelled) {
  MergeFeed::accept(check_merge_rank_mask, call);
  const WmMergeInputs& in = call.inputs;
  if (in.count == 0) return raised(cancelled) ? WM_CANCELLED : WM_OK;
  // Rows that together begin and end on bytes of the mask.
  const uint64_t together = 8 / std::gcd<uint64_t>(8, in.row);
  MergeCost cost;
  cost.output = 1.0 / 8;
  cost.fixed_output = sizeof(uint32_t) + Slot::kAlignment;
  MergeFeed feed(context, in, call.model, together * in.row, cost, cancelled);
  MergeRanks range{};
  range.density = call.density;
  range.epsilon = call.epsilon;
  range.key = call.key;
  range.stream = call.stream;
  const uint64_t bytes = rank_bytes(feed.shape());
  const uint64_t most = std::min(kRankBlocks, in.count / in.row);
  std::optional<Workspace> memory;
  uint32_t blocks = static_cast<uint32_t>(most);
  if (bytes > kRankShared) {
    blocks = static_cast<uint32_t>(std::clamp<uint64_t>(kRankBytes / bytes, 1, most));
    memory.emplace(context, blocks * bytes);
    range.ranks = memory->get();
  }
  while (feed.next()) {
    range.chunk = feed.chunk();
    range.mask =
        static_cast<uint32_t*>(feed.slot().output(call.mask + feed.at() / 8, (feed.count() + 7) / 8));
    feed.submit(
        [&](cudaStream_t stream) { check(launch(range, blocks, stream), "launching a ranking of rows"); });
  }
  return feed.finish();
}

WmCode run_merge_divergence(WmContext& context, const WmMergeDivergence& call, WmCancelFlag cancelled) {
  MergeFeed::accept(check_merge_divergence, call);
  const WmMergeInputs& in = call.inputs;
  MergeCost cost;
  cost.output = static_cast<double>(sizeof(double)) / static_cast<double>(in.row);
  cost.fixed_output = sizeof(double) + Slot::kAlignment;
  MergeFeed feed(context, in, 0, in.row, cost, cancelled);
  MergeDivergence range{};
  while (feed.next()) {
    range.chunk = feed.chunk();
    const uint64_t row = feed.at() / in.row, rows = feed.count() / in.row;
    range.divergence = static_cast<double*>(feed.slot().output(call.divergence + row, rows * sizeof(double)));
    feed.submit([&](cudaStream_t stream) { check(launch(range, stream), "launching divergences of rows"); });
  }
  return feed.finish();
}

}  // namespace wisemerge::cuda
