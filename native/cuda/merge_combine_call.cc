// WmMergeCombine on the device: inputs up, the output down, range by range.
#include <algorithm>

#include "cuda/merge_keeps.h"
#include "cuda/merge_launch.h"
#include "wisemerge/merge_arguments.h"

namespace wisemerge::cuda {
namespace {

constexpr uint64_t kUnit = 64;  // elements: ranges begin on bytes of masks
// Weights of all columns go with every range up to this; above, those of its columns alone.
constexpr size_t kColumnBytes = Slot::kInputBytes / 4;
// Memory of many models' columns, and the blocks that share it.
constexpr uint64_t kManyBytes = 64u << 20;
constexpr uint64_t kManyBlocks = 1024;

// What an operation takes of a call.
bool takes_deltas(int32_t operation) {
  return operation >= WM_MERGE_DELTA_SUM && operation <= WM_MERGE_OVERLAP;
}
bool takes_weights(int32_t operation) {
  return operation != WM_MERGE_OVERLAP && operation != WM_MERGE_NEARSWAP && operation != WM_MERGE_TAKE;
}
bool takes_factors(int32_t operation) {
  return operation == WM_MERGE_CONSENSUS || operation == WM_MERGE_OVERLAP;
}

// The weights of a range: of all elements, of its rows, or of columns.
class Weights {
 public:
  explicit Weights(const WmMergeCombine& call) : call_(call), each_(call.inputs.models * sizeof(double)) {
    const uint64_t row = call.inputs.row;
    part_ = call.axis == WM_AXIS_COLUMN && row > kColumnBytes / each_;
  }

  bool within_rows() const { return part_; }
  void add_cost(MergeCost& cost) const {
    cost.fixed_input += Slot::kAlignment;
    if (call_.axis == WM_AXIS_ROW) {
      cost.input += static_cast<double>(each_) / static_cast<double>(call_.inputs.row);
      cost.fixed_input += 2 * each_;  // the rows at both ends are parts
    } else if (call_.axis == WM_AXIS_COLUMN) {
      if (part_) cost.input += static_cast<double>(each_);
      if (!part_) cost.fixed_input += call_.inputs.row * each_;
    }
  }
  // Before the range has a slot.
  void place(MergeFeed& feed, MergeCombine& range) const {
    const WmMergeInputs& in = call_.inputs;
    uint64_t first = 0, count = 0;
    if (call_.axis == WM_AXIS_ROW) {
      first = feed.first_row() - in.first / in.row;  // counted from the call's
      count = feed.last_row() - feed.first_row() + 1;
    } else if (call_.axis == WM_AXIS_COLUMN) {
      first = part_ ? (in.first + feed.at()) % in.row : 0;
      count = part_ ? feed.count() : in.row;
      range.first_column = first;
    }
    if (count == 0) return;
    range.weights = static_cast<const double*>(feed.place(call_.weights + first * in.models, count * each_));
  }

 private:
  const WmMergeCombine& call_;
  const size_t each_;  // bytes of one vector of them
  bool part_;
};

}  // namespace

WmCode run_merge_combine(WmContext& context, const WmMergeCombine& call, WmCancelFlag cancelled) {
  MergeFeed::accept(check_merge_combine, call);
  const WmMergeInputs& in = call.inputs;
  const size_t out_size = item_size(static_cast<DType>(call.out_dtype));
  const uint32_t weights = call.operation == WM_MERGE_FISHER ? in.models / 2 : in.models;
  MergeKeeps keeps(in, call.keeps);
  const Weights vectors(call);
  MergeCost cost;
  cost.output = static_cast<double>(out_size);
  cost.fixed_output = Slot::kAlignment;
  keeps.add_cost(cost);
  vectors.add_cost(cost);
  *call.non_finite = 0;

  MergeCombine range{};
  range.operation = call.operation;
  range.axis = call.axis;
  range.deltas = takes_deltas(call.operation);
  range.by_variance = keeps.by_variance();
  range.parameters[0] = call.parameters[0];
  range.parameters[1] = call.parameters[1];
  range.work_dtype = static_cast<DType>(call.work_dtype);
  range.out_dtype = static_cast<DType>(call.out_dtype);
  MergeFeed feed(context, in, MergeFeed::kAllModels, kUnit, cost, cancelled);
  if (vectors.within_rows()) feed.keep_within_rows();
  range.chunk = feed.shape();
  const uint64_t memory = combine_memory(range);
  const auto blocks = static_cast<uint32_t>(std::clamp<uint64_t>(kManyBytes / memory, 1, kManyBlocks));
  std::optional<Workspace> many;
  if (memory > kCombineShared) many.emplace(context, blocks * memory);

  while (feed.next()) {
    keeps.place(feed);
    vectors.place(feed, range);
    range.chunk = feed.chunk();
    Slot& slot = feed.slot();
    range.keeps = keeps.table(slot);
    if (call.axis == WM_AXIS_WHOLE && takes_weights(call.operation)) {
      range.weights = slot.table(call.weights, weights);
    }
    if (takes_factors(call.operation)) range.factors = slot.table(call.factors, in.models);
    range.out = slot.output(static_cast<char*>(call.out) + feed.at() * out_size, feed.count() * out_size);
    range.non_finite = slot.counters(call.non_finite, 1);
    feed.submit([&](cudaStream_t stream) {
      check(launch(range, many ? many->get() : nullptr, blocks, stream), "launching a merge");
    });
  }
  return feed.finish();
}

}  // namespace wisemerge::cuda
