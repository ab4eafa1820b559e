#include <algorithm>

#include "cuda/arguments.h"
#include "cuda/batches.h"
#include "cuda/calls.h"

namespace wisemerge::cuda {
namespace {

static_assert(kCompareSpan * 2 * sizeof(double) + 2 * Slot::kAlignment <= Slot::kInputBytes,
              "an empty slot holds a span");

size_t sums_bytes(uint32_t sums) { return slot_bytes(sums * sizeof(CompareSums)); }

// The elements of the next range: all that is left of the item if the slot has room, else whole spans, else
// 0.
uint64_t fitting(const Slot& slot, const Batches<CompareKernel>& batches, uint64_t left, size_t x_size,
                 size_t y_size) {
  constexpr size_t kPadding = 2 * Slot::kAlignment;
  if (batches.table_bytes() > slot.table_room() || slot.input_room() <= kPadding) return 0;
  const uint64_t room = (slot.input_room() - kPadding) / (x_size + y_size);
  const uint64_t elements = left <= room ? left : room / kCompareSpan * kCompareSpan;
  const size_t sums = sums_bytes(compare_block_count(elements)) + sums_bytes(compare_span_count(elements));
  return sums <= slot.output_room() ? elements : 0;
}

}  // namespace

WmCode run_compare(WmContext& context, const WmCompare* items, uint32_t count, WmCancelFlag cancelled) {
  for (uint32_t i = 0; i < count; i++) check_compare(items[i], i);
  Slot* slot = nullptr;
  Batches<CompareKernel> batches;
  for (uint32_t i = 0; i < count; i++) {
    const WmCompare& item = items[i];
    const CompareTypes types = check_compare(item, i);
    const size_t x_size = item_size(types.x), y_size = item_size(types.y);
    const CompareKernel kernel = compare_kernel(types.x, types.y);

    for (uint64_t at = 0; at < item.count;) {
      const uint64_t elements = slot ? fitting(*slot, batches, item.count - at, x_size, y_size) : 0;
      if (elements == 0) {
        if (slot) batches.submit(*slot);
        if (raised(cancelled)) return WM_CANCELLED;
        slot = &context.next_slot();
        continue;
      }
      const uint32_t blocks = compare_block_count(elements), spans = compare_span_count(elements);
      CompareSegment segment{};
      segment.x = slot->input(static_cast<const char*>(item.x) + at * x_size, elements * x_size);
      segment.y = slot->input(static_cast<const char*>(item.y) + at * y_size, elements * y_size);
      segment.count = elements;
      segment.blocks = static_cast<CompareSums*>(slot->scratch(blocks * sizeof(CompareSums)));
      segment.spans = static_cast<CompareSums*>(slot->output(
          static_cast<CompareSums*>(item.sums) + at / kCompareSpan, spans * sizeof(CompareSums)));
      segment.x_dtype = types.x;
      segment.y_dtype = types.y;
      batches.add(kernel, segment);
      at += elements;
    }
  }
  if (slot && !batches.empty()) batches.submit(*slot);
  context.finish();
  return WM_OK;
}

}  // namespace wisemerge::cuda
