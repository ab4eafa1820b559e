// The CPU backend: checks arguments, cuts tensors into tiles and runs one SIMD level's kernels over them on a
// thread pool. Results depend on neither tiles nor threads: elements are independent, and the comparison's
// unit, a span, is never cut.
#include "cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "cpu/attention.h"
#include "cpu/attention_gradient.h"
#include "cpu/calls.h"
#include "cpu/head.h"
#include "cpu/head_curve.h"
#include "cpu/matmul.h"
#include "cpu/merge.h"
#include "wisemerge/compare.h"
#include "wisemerge/dtype.h"

#if !defined(WISEMERGE_VERSION)
#define WISEMERGE_VERSION "development"
#endif

namespace wisemerge::cpu {
namespace {

// Bytes read and written by one tile: small enough to balance threads and to notice a cancellation within
// microseconds, large enough that starting it costs nothing.
constexpr size_t kTileBytes = 512u << 10;
// A call that moves less than this is over before a thread wakes.
constexpr size_t kInlineBytes = 256u << 10;
// Outputs of this size will not be found in a core's own cache later: written past it, they save the reading
// of every line before it is overwritten, and leave the cache to others.
constexpr size_t kStreamBytes = 1u << 20;
// Tiles begin at multiples of this many elements after the first, a whole number of cache lines for any
// dtype.
constexpr size_t kTileStep = 64;

bool float_dtype(int32_t dtype) {
  return dtype >= 0 && static_cast<uint32_t>(dtype) < kDTypeCount && is_float(static_cast<DType>(dtype));
}
uint32_t size_of(int32_t dtype) { return item_size(static_cast<DType>(dtype)); }
bool aligned(const void* pointer, size_t alignment) {
  return reinterpret_cast<uintptr_t>(pointer) % alignment == 0;
}

// A pointer to `what` of `count` elements of `dtype`.
WmCode check_range(const char* call, uint32_t index, const char* what, int32_t dtype, const void* pointer,
                   uint64_t count, WmError* error) {
  if (!float_dtype(dtype)) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: item %u: dtype %d of %s is not a float dtype", call, index,
                static_cast<int>(dtype), what);
  }
  if (count > SIZE_MAX / size_of(dtype)) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: item %u: %llu elements exceed the address space", call,
                index, static_cast<unsigned long long>(count));
  }
  if (count > 0 && !pointer) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: item %u: %s is null", call, index, what);
  }
  if (!aligned(pointer, size_of(dtype))) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: item %u: %s at %p is not aligned to its %u-byte elements",
                call, index, what, pointer, size_of(dtype));
  }
  return WM_OK;
}

WmCode check_lerp(const WmLerp& item, uint32_t index, WmError* error) {
  if (item.alpha_count > 0 && (!item.alphas || !item.outs || !item.non_finite)) {
    return fail(error, WM_INVALID_ARGUMENT, "lerp: item %u: alphas, outs or non_finite is null", index);
  }
  bool needs_y = false;
  for (uint32_t k = 0; k < item.alpha_count; k++) {
    if (!std::isfinite(item.alphas[k])) {
      return fail(error, WM_INVALID_ARGUMENT, "lerp: item %u: alpha %u is %g; it must be finite", index, k,
                  item.alphas[k]);
    }
    needs_y = needs_y || item.alphas[k] != 0;
    const WmCode code =
        check_range("lerp", index, "an output", item.out_dtype, item.outs[k], item.count, error);
    if (code != WM_OK) return code;
  }
  const WmCode code = check_range("lerp", index, "x", item.x_dtype, item.x, item.count, error);
  if (code != WM_OK) return code;
  return check_range("lerp", index, "y", item.y_dtype, item.y, needs_y ? item.count : 0, error);
}

// How an item is cut: elements before the first output's first cache line, and elements per tile.
struct Tiling {
  size_t head = 0, step = 0, tiles = 0;
  size_t moved = 0;  // bytes read and written
  bool stream = false;

  explicit Tiling(const WmLerp& item) {
    if (item.count == 0 || item.alpha_count == 0) return;
    const size_t out_size = size_of(item.out_dtype), written = out_size * item.alpha_count;
    const size_t element = size_of(item.x_dtype) + size_of(item.y_dtype) + written;
    // With the first tile's end on a cache line all later ones begin and end on one: two threads never write
    // into the same line, and streaming stores need no partial lines inside a tensor.
    const size_t line = (0 - reinterpret_cast<uintptr_t>(item.outs[0])) % 64;
    head = std::min<size_t>(item.count, line / out_size);
    step = std::max(kTileBytes / element / kTileStep, size_t{1}) * kTileStep;
    tiles = std::max<size_t>(1, (item.count - head + step - 1) / step);
    moved = item.count * element;
    stream = item.count * written >= kStreamBytes;
  }
  size_t begin(size_t tile) const { return tile == 0 ? 0 : head + tile * step; }
  size_t end(size_t tile, size_t count) const { return std::min(count, head + (tile + 1) * step); }
};

// Runs fn(item, unit) for every unit of every item; `units` holds each item's first unit, then their total.
template <class Fn>
WmCode for_each_unit(ThreadPool& pool, const std::vector<size_t>& units, size_t bytes, WmCancelFlag cancelled,
                     const Fn& fn) {
  const auto body = [&](size_t begin, size_t end) {
    size_t item = std::upper_bound(units.begin(), units.end(), begin) - units.begin() - 1;
    for (size_t unit = begin; unit < end; unit++) {
      if (raised(cancelled)) return;
      while (unit >= units[item + 1]) item++;
      fn(item, unit - units[item]);
    }
  };
  const size_t total = units.back();
  if (bytes < kInlineBytes) {
    body(0, total);
  } else {
    // A range costs two words to hand out, but a worker woken for a few tiny tensors costs more than they do.
    const size_t average = std::max<size_t>(1, bytes / total);
    pool.parallel_for(total, std::max<size_t>(1, kInlineBytes / average), std::cref(body));
  }
  return raised(cancelled) ? WM_CANCELLED : WM_OK;
}

WmCode run_lerp(WmContext& context, const WmLerp* items, uint32_t count, WmCancelFlag cancelled,
                WmError* error) {
  if (count > 0 && !items) return fail(error, WM_INVALID_ARGUMENT, "lerp: items is null");
  context.first_tiles.assign(1, 0);
  size_t bytes = 0;
  for (uint32_t i = 0; i < count; i++) {
    const WmCode code = check_lerp(items[i], i, error);
    if (code != WM_OK) return code;
    const Tiling tiling(items[i]);
    context.first_tiles.push_back(context.first_tiles.back() + tiling.tiles);
    bytes += tiling.moved;
  }
  for (uint32_t i = 0; i < count; i++) std::fill_n(items[i].non_finite, items[i].alpha_count, 0);
  if (context.first_tiles.back() == 0) return raised(cancelled) ? WM_CANCELLED : WM_OK;

  return for_each_unit(context.pool, context.first_tiles, bytes, cancelled, [&](size_t index, size_t tile) {
    const WmLerp& item = items[index];
    const Tiling tiling(item);
    for (uint32_t first = 0; first < item.alpha_count; first += kMaxAlphas) {
      WmLerp part = item;
      part.alphas += first;
      part.outs += first;
      part.alpha_count = std::min(kMaxAlphas, item.alpha_count - first);
      uint64_t non_finite[kMaxAlphas] = {};
      context.kernels->lerp(part, tiling.begin(tile), tiling.end(tile, item.count), tiling.stream,
                            non_finite);
      for (uint32_t k = 0; k < part.alpha_count; k++) {
        if (non_finite[k]) __atomic_fetch_add(&item.non_finite[first + k], non_finite[k], __ATOMIC_RELAXED);
      }
    }
  });
}

WmCode run_compare(WmContext& context, const WmCompare* items, uint32_t count, WmCancelFlag cancelled,
                   WmError* error) {
  if (count > 0 && !items) return fail(error, WM_INVALID_ARGUMENT, "compare: items is null");
  context.first_tiles.assign(1, 0);
  size_t bytes = 0;
  for (uint32_t i = 0; i < count; i++) {
    const WmCompare& item = items[i];
    WmCode code = check_range("compare", i, "x", item.x_dtype, item.x, item.count, error);
    if (code == WM_OK) code = check_range("compare", i, "y", item.y_dtype, item.y, item.count, error);
    if (code != WM_OK) return code;
    if (item.count > 0 && (!item.sums || !aligned(item.sums, alignof(CompareSums)))) {
      return fail(error, WM_INVALID_ARGUMENT,
                  "compare: item %u: sums at %p is null or not aligned to %zu bytes", i, item.sums,
                  alignof(CompareSums));
    }
    const size_t spans = item.count / kCompareSpan + (item.count % kCompareSpan != 0);
    context.first_tiles.push_back(context.first_tiles.back() + spans);
    bytes += item.count * (size_of(item.x_dtype) + size_of(item.y_dtype));
  }
  if (context.first_tiles.back() == 0) return raised(cancelled) ? WM_CANCELLED : WM_OK;
  return for_each_unit(context.pool, context.first_tiles, bytes, cancelled,
                       [&](size_t index, size_t span) { context.kernels->compare(items[index], span); });
}

int32_t device_count(WmError*) { return 1; }

WmCode device_info(int32_t device, WmDeviceInfo* info, WmError* error) {
  if (device != 0) {
    return fail(error, WM_INVALID_ARGUMENT, "device %d: the CPU is device 0", static_cast<int>(device));
  }
  *info = {};
  cpu_name(info->name, sizeof(info->name));
  std::snprintf(info->isa, sizeof(info->isa), "%s", select_kernels(nullptr)->isa);
  info->compute_units = available_cpus();
  return WM_OK;
}

WmCode open(const WmOpenOptions* options, WmContext** context, WmError* error) {
  const WmOpenOptions defaults = {};
  if (!options) options = &defaults;
  if (options->device != 0) {
    return fail(error, WM_INVALID_ARGUMENT, "device %d: the CPU is device 0",
                static_cast<int>(options->device));
  }
  if (options->threads < 0) {
    return fail(error, WM_INVALID_ARGUMENT, "threads is %d; 0 means all available",
                static_cast<int>(options->threads));
  }
  if (options->precision != WM_EXACT) {
    return fail(
        error, WM_UNAVAILABLE,
        "precision %d: the CPU's matrix products are exact; open a CUDA device, or leave precision out",
        static_cast<int>(options->precision));
  }
  const Kernels* kernels = select_kernels(options->isa);
  if (!kernels) {
    return fail(error, WM_INVALID_ARGUMENT, "isa '%s' is none of avx512, avx2, baseline", options->isa);
  }
  return guarded(error, [&] {
    *context = new WmContext(options->threads, kernels);
    return WM_OK;
  });
}

void close(WmContext* context) { delete context; }

WmCode lerp(WmContext* context, const WmLerp* items, uint32_t count, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_lerp(*context, items, count, cancelled, error); });
}

WmCode compare(WmContext* context, const WmCompare* items, uint32_t count, WmCancelFlag cancelled,
               WmError* error) {
  return guarded(error, [&] { return run_compare(*context, items, count, cancelled, error); });
}

WmCode matmul(WmContext* context, const WmMatmul* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_matmul(*context, *call, cancelled, error); });
}

WmCode head_path(WmContext* context, const WmPath* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_path(*context, *call, cancelled, error); });
}

WmCode head_metrics(WmContext* context, const WmHeadMetrics* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_metrics(*context, *call, cancelled, error); });
}

WmCode head_moments(WmContext* context, const WmHeadMoments* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_moments(*context, *call, cancelled, error); });
}

WmCode head_curve(WmContext* context, const WmCurve* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_curve(*context, *call, cancelled, error); });
}

WmCode head_outputs(WmContext* context, const WmHeadOutputs* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_outputs(*context, *call, cancelled, error); });
}

WmCode attention(WmContext* context, const WmAttention* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_attention(*context, *call, cancelled, error); });
}

WmCode attention_gradient(WmContext* context, const WmAttentionGradient* call, WmCancelFlag cancelled,
                          WmError* error) {
  return guarded(error, [&] { return run_attention_gradient(*context, *call, cancelled, error); });
}

WmCode merge_count(WmContext* context, const WmMergeCount* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_merge_count(*context, *call, cancelled, error); });
}

WmCode merge_sums(WmContext* context, const WmMergeSums* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_merge_sums(*context, *call, cancelled, error); });
}

WmCode merge_gram(WmContext* context, const WmMergeGram* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_merge_gram(*context, *call, cancelled, error); });
}

WmCode merge_overlap(WmContext* context, const WmMergeOverlap* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_merge_overlap(*context, *call, cancelled, error); });
}

WmCode merge_rank_mask(WmContext* context, const WmMergeRankMask* call, WmCancelFlag cancelled,
                       WmError* error) {
  return guarded(error, [&] { return run_merge_rank_mask(*context, *call, cancelled, error); });
}

WmCode merge_divergence(WmContext* context, const WmMergeDivergence* call, WmCancelFlag cancelled,
                        WmError* error) {
  return guarded(error, [&] { return run_merge_divergence(*context, *call, cancelled, error); });
}

WmCode merge_combine(WmContext* context, const WmMergeCombine* call, WmCancelFlag cancelled, WmError* error) {
  return guarded(error, [&] { return run_merge_combine(*context, *call, cancelled, error); });
}

constexpr WmBackend kBackend = {
    .abi = WM_BACKEND_ABI,
    .name = "cpu",
    .version = WISEMERGE_VERSION,
    .device_count = device_count,
    .device_info = device_info,
    .open = open,
    .close = close,
    .pin = nullptr,
    .unpin = nullptr,
    .lerp = lerp,
    .compare = compare,
    .matmul = matmul,
    .head_path = head_path,
    .head_metrics = head_metrics,
    .head_moments = head_moments,
    .head_curve = head_curve,
    .head_outputs = head_outputs,
    .attention = attention,
    .attention_gradient = attention_gradient,
    // Values of networks lie in the core's own memory.
    .network_open = nullptr,
    .network_close = nullptr,
    .network_begin = nullptr,
    .network_operate = nullptr,
    .network_finish = nullptr,
    .network_train = nullptr,
    .network_reverse_begin = nullptr,
    .network_reverse = nullptr,
    .network_norm = nullptr,
    .network_update = nullptr,
    .network_read = nullptr,
    .merge_count = merge_count,
    .merge_sums = merge_sums,
    .merge_gram = merge_gram,
    .merge_overlap = merge_overlap,
    .merge_rank_mask = merge_rank_mask,
    .merge_divergence = merge_divergence,
    .merge_combine = merge_combine,
};

}  // namespace
}  // namespace wisemerge::cpu

const WmBackend* wisemerge_cpu_backend(void) { return &wisemerge::cpu::kBackend; }
