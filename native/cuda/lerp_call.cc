#include <algorithm>

#include "cuda/arguments.h"
#include "cuda/batches.h"
#include "cuda/calls.h"

namespace wisemerge::cuda {
namespace {

// Alphas of one pass over x and y. More would shrink the ranges, whose outputs share a slot.
constexpr uint32_t kMaxAlphas = 64;
// Ranges are cut at multiples of this, so that every range starts as aligned as its tensor.
constexpr uint64_t kCutElements = 4096;
static_assert(kCutElements * kMaxAlphas * sizeof(double) <= Slot::kOutputBytes, "an empty slot holds a cut");
static_assert(kMaxAlphas <= Slot::kCounters);

// The elements of the next range: all that is left of the item if the slot has room, else a whole number of
// cuts, else 0.
uint64_t fitting(const Slot& slot, const Batches<LerpKernel>& batches, uint64_t left, size_t x_size,
                 size_t y_size, size_t out_size, uint32_t alphas) {
  const size_t table = slot_bytes(alphas * sizeof(double)) + batches.table_bytes();
  if (table > slot.table_room() || alphas > slot.counter_room()) return 0;
  const auto room = [](size_t bytes, size_t ranges, size_t per_element) {
    const size_t padding = ranges * Slot::kAlignment;
    return bytes > padding ? (bytes - padding) / per_element : 0;
  };
  const uint64_t elements = std::min(room(slot.input_room(), 2, x_size + y_size),
                                     room(slot.output_room(), alphas, out_size * alphas));
  return left <= elements ? left : elements / kCutElements * kCutElements;
}

}  // namespace

WmCode run_lerp(WmContext& context, const WmLerp* items, uint32_t count, WmCancelFlag cancelled) {
  for (uint32_t i = 0; i < count; i++) check_lerp(items[i], i);
  Slot* slot = nullptr;
  Batches<LerpKernel> batches;
  for (uint32_t i = 0; i < count; i++) {
    const WmLerp& item = items[i];
    const LerpTypes types = check_lerp(item, i);
    // Where y is not read, x stands in for it, and y is neither copied nor there.
    const DType y_dtype = types.needs_y ? types.y : types.x;
    const size_t x_size = item_size(types.x), out_size = item_size(types.out);
    const size_t y_size = types.needs_y ? item_size(y_dtype) : 0;
    const LerpKernel kernel = lerp_kernel(types.x, y_dtype, types.out);
    std::fill_n(item.non_finite, item.alpha_count, 0);

    for (uint32_t k = 0; k < item.alpha_count; k += kMaxAlphas) {
      const uint32_t alphas = std::min(kMaxAlphas, item.alpha_count - k);
      for (uint64_t at = 0; at < item.count;) {
        const uint64_t elements =
            slot ? fitting(*slot, batches, item.count - at, x_size, y_size, out_size, alphas) : 0;
        if (elements == 0) {
          if (slot) batches.submit(*slot);
          if (raised(cancelled)) return WM_CANCELLED;
          slot = &context.next_slot();
          continue;
        }
        LerpSegment segment{};
        segment.x = slot->input(static_cast<const char*>(item.x) + at * x_size, elements * x_size);
        segment.y = types.needs_y
                        ? slot->input(static_cast<const char*>(item.y) + at * y_size, elements * y_size)
                        : segment.x;
        segment.out_stride = slot_bytes(elements * out_size);
        for (uint32_t a = 0; a < alphas; a++) {
          void* out = slot->output(static_cast<char*>(item.outs[k + a]) + at * out_size, elements * out_size);
          if (a == 0) segment.out = out;
        }
        segment.count = elements;
        segment.alphas = slot->table(item.alphas + k, alphas);
        segment.non_finite = slot->counters(item.non_finite + k, alphas);
        segment.alpha_count = alphas;
        segment.x_dtype = types.x;
        segment.y_dtype = y_dtype;
        segment.out_dtype = types.out;
        batches.add(kernel, segment);
        at += elements;
      }
    }
  }
  if (slot && !batches.empty()) batches.submit(*slot);
  context.finish();
  return WM_OK;
}

}  // namespace wisemerge::cuda
