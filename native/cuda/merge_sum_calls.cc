// WmMergeSums and WmMergeGram on the device. Along spans and rows the sums of a range come down with it; down
// the columns they go on from range to range on the device.
#include <algorithm>

#include "cuda/merge_keeps.h"
#include "cuda/merge_launch.h"
#include "wisemerge/merge_arguments.h"

namespace wisemerge::cuda {
namespace {

// Spans or rows.
uint64_t unit_of(const WmMergeInputs& in, int32_t axis) {
  return axis == WM_AXIS_ROW ? in.row : uint64_t{kMergeSpan};
}
MergeUnits units_of(uint64_t unit, uint64_t count) { return {unit, (count + unit - 1) / unit}; }

// `bytes` of results for each unit.
MergeCost cost_of(uint64_t unit, size_t bytes) {
  MergeCost cost;
  cost.output = static_cast<double>(bytes) / static_cast<double>(unit);
  cost.fixed_output = bytes + Slot::kAlignment;
  return cost;
}

// Results of one kind for the units of a range; `to` is the call's.
double* results(MergeFeed& feed, uint64_t unit, size_t numbers, double* to) {
  const uint64_t first = feed.at() / unit, count = units_of(unit, feed.count()).count;
  return static_cast<double*>(feed.slot().output(to + first * numbers, count * numbers * sizeof(double)));
}

// Columns of which the sums have their place in a slot, and the rows that go with them: whole rows where one
// has room, else a part of one.
struct ColumnBlocks {
  static constexpr size_t kSumBytes = Slot::kInputBytes / 4;
  uint64_t columns, rows;
  bool whole;

  ColumnBlocks(const WmMergeInputs& in, size_t pair_bytes) {
    size_t element = in.base ? item_size(static_cast<DType>(in.base_dtype)) : 0;
    for (uint32_t i = 0; i < in.models; i++) element += item_size(static_cast<DType>(in.x_dtypes[i]));
    columns = std::clamp<uint64_t>(kSumBytes / pair_bytes, 1, in.row);
    const size_t padding = (in.models + 2) * Slot::kAlignment;
    const size_t room = Slot::kInputBytes - padding - columns * pair_bytes;
    rows = room / element / in.row;
    whole = rows > 0;
    if (whole) return;
    rows = 1;
    columns = std::min<uint64_t>(columns, room / element);
  }
};

MergeSource place_range(Slot& slot, int32_t dtype_value, const void* data, uint64_t first, uint64_t count) {
  const auto dtype = static_cast<DType>(dtype_value);
  const char* const from = static_cast<const char*>(data) + first * item_size(dtype);
  return {slot.input(from, count * item_size(dtype)), dtype};
}

WmCode run_columns(WmContext& context, const WmMergeGram& call, WmCancelFlag cancelled) {
  const WmMergeInputs& in = call.inputs;
  const uint64_t pairs = pair_count(in.models), rows = in.count / in.row;
  const ColumnBlocks blocks(in, pairs * sizeof(double));
  std::vector<MergeSource> sources(in.models);
  MergeColumns range{};
  range.chunk.row = in.row;
  range.chunk.models = in.models;
  range.chunk.wide = merge_is_wide(in);
  range.stride = in.row;
  for (uint64_t column = 0; column < in.row && rows > 0; column += blocks.columns) {
    range.columns = std::min(blocks.columns, in.row - column);
    range.first = blocks.whole ? column : 0;
    range.after = nullptr;
    double* const sums = call.sums + column * pairs;
    const size_t bytes = range.columns * pairs * sizeof(double);
    for (uint64_t row = 0; row < rows; row += range.rows) {
      if (raised(cancelled)) return WM_CANCELLED;
      Slot& slot = context.next_slot();
      range.rows = std::min(blocks.rows, rows - row);
      const uint64_t first = row * in.row + (blocks.whole ? 0 : column);
      range.chunk.first = in.first + first;
      range.chunk.count = blocks.whole ? range.rows * in.row : range.columns;
      if (in.base) range.chunk.base = place_range(slot, in.base_dtype, in.base, first, range.chunk.count);
      for (uint32_t i = 0; i < in.models; i++) {
        sources[i] = place_range(slot, in.x_dtypes[i], in.x[i], first, range.chunk.count);
      }
      range.chunk.x = slot.table(sources.data(), sources.size());
      // The slot before keeps its sums until it is filled again.
      range.before = row == 0 ? static_cast<const double*>(slot.input(sums, bytes)) : range.after;
      const bool last = row + range.rows == rows;
      range.after = static_cast<double*>(last ? slot.output(sums, bytes) : slot.scratch(bytes));
      slot.submit(
          [&](cudaStream_t stream) { check(launch(range, stream), "launching inner products of columns"); });
    }
  }
  if (raised(cancelled)) return WM_CANCELLED;
  context.finish();
  return WM_OK;
}

}  // namespace

WmCode run_merge_sums(WmContext& context, const WmMergeSums& call, WmCancelFlag cancelled) {
  MergeFeed::accept(check_merge_sums, call);
  const WmMergeInputs& in = call.inputs;
  const uint64_t unit = unit_of(in, call.axis);
  const size_t numbers = size_t{in.models} * kMergeSumColumns;
  MergeKeeps keeps(in, call.keeps);
  MergeCost cost = cost_of(unit, numbers * sizeof(double));
  keeps.add_cost(cost);
  MergeSums range{};
  range.by_variance = keeps.by_variance();
  MergeFeed feed(context, in, MergeFeed::kAllModels, unit, cost, cancelled);
  while (feed.next()) {
    keeps.place(feed);
    range.chunk = feed.chunk();
    range.units = units_of(unit, feed.count());
    range.keeps = keeps.table(feed.slot());
    range.sums = results(feed, unit, numbers, call.sums);
    feed.submit([&](cudaStream_t stream) { check(launch(range, stream), "launching sums of deltas"); });
  }
  return feed.finish();
}

WmCode run_merge_gram(WmContext& context, const WmMergeGram& call, WmCancelFlag cancelled) {
  MergeFeed::accept(check_merge_gram, call);
  if (call.axis == WM_AXIS_COLUMN) return run_columns(context, call, cancelled);
  const WmMergeInputs& in = call.inputs;
  const uint64_t unit = unit_of(in, call.axis);
  const size_t pairs = pair_count(in.models);
  MergeGram range{};
  MergeFeed feed(context, in, MergeFeed::kAllModels, unit, cost_of(unit, pairs * sizeof(double)), cancelled);
  while (feed.next()) {
    range.chunk = feed.chunk();
    range.units = units_of(unit, feed.count());
    range.sums = results(feed, unit, pairs, call.sums);
    feed.submit([&](cudaStream_t stream) { check(launch(range, stream), "launching inner products"); });
  }
  return feed.finish();
}

}  // namespace wisemerge::cuda
