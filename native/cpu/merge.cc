// The calls of merging many models: each checks its arguments, cuts its range into units that do not depend
// on threads, and runs one SIMD level's kernels over them.
#include "cpu/merge.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

#include "wisemerge/dtype.h"
#include "wisemerge/merge.h"
#include "wisemerge/merge_arguments.h"

namespace wisemerge::cpu {
namespace {

// Elements of all inputs that are over before a thread wakes.
constexpr size_t kInlineElements = 128u << 10;
// A histogram's counters are 32 bits wide; cancellation is noticed between ranges.
constexpr size_t kCountRange = 1u << 26;
// f64 chains of one block of columns: they stay in the L2 cache.
constexpr size_t kColumnChains = 32u << 10;

// Runs body(begin, end, scratch) over ranges of [0, units); a unit is `elements` elements of every input.
// `floats` of temporary memory for each thread.
WmCode for_each_range(WmContext& context, const WmMergeInputs& in, size_t units, size_t elements,
                      size_t floats, WmCancelFlag cancelled,
                      const std::function<void(size_t, size_t, float*)>& body) {
  if (units == 0 || raised(cancelled)) return raised(cancelled) ? WM_CANCELLED : WM_OK;
  context.scratch.prepare(static_cast<size_t>(context.pool.size()), floats);
  const size_t inputs = in.models + 1, unit = std::max<size_t>(1, elements * inputs);
  const size_t grain = std::max<size_t>(1, kInlineElements / unit);
  const auto range = [&](size_t begin, size_t end) {
    const ThreadScratch::Loan loan(context.scratch);
    for (size_t at = begin; at < end && !raised(cancelled); at += grain) {
      body(at, std::min(end, at + grain), loan.data());
    }
  };
  if (units <= grain) {
    range(0, units);
  } else {
    context.pool.parallel_for(units, grain, std::cref(range));
  }
  return raised(cancelled) ? WM_CANCELLED : WM_OK;
}

size_t spans_of(uint64_t count) { return count / kMergeSpan + (count % kMergeSpan != 0); }
size_t rows_of(const WmMergeInputs& in) { return in.count / in.row; }

// The same for each unit of `size` elements of the range, as body(begin, end, scratch) of elements.
template <class Body>
WmCode for_each_piece(WmContext& context, const WmMergeInputs& in, size_t floats, WmCancelFlag cancelled,
                      const Body& body) {
  return for_each_range(context, in, spans_of(in.count), kMergeSpan, floats, cancelled,
                        [&](size_t begin, size_t end, float* scratch) {
                          body(begin * kMergeSpan, std::min<size_t>(in.count, end * kMergeSpan), scratch);
                        });
}

}  // namespace

WmCode run_merge_count(WmContext& context, const WmMergeCount& call, WmCancelFlag cancelled, WmError* error) {
  const WmCode code = check_merge_count(call, error);
  if (code != WM_OK) return code;
  const WmMergeInputs& in = call.inputs;
  // One range for each thread where they are not too long: each clears counters and adds them up.
  const size_t threads = static_cast<size_t>(context.pool.size());
  const size_t even = (in.count + threads - 1) / threads;
  const size_t length = std::min(kCountRange, std::max<size_t>(kMergeSpan, even));
  const size_t ranges = (in.count + length - 1) / length;
  return for_each_range(context, in, ranges, length, merge_scratch(in.models) + kMergeCounters, cancelled,
                        [&](size_t begin, size_t end, float* scratch) {
                          context.kernels->merge_count(call, begin * length,
                                                       std::min<size_t>(in.count, end * length), ranges == 1,
                                                       scratch);
                        });
}

WmCode run_merge_sums(WmContext& context, const WmMergeSums& call, WmCancelFlag cancelled, WmError* error) {
  const WmCode code = check_merge_sums(call, error);
  if (code != WM_OK) return code;
  const WmMergeInputs& in = call.inputs;
  const bool rows = call.axis == WM_AXIS_ROW;
  const size_t floats = merge_scratch(in.models) + kMergeSumScratch * in.models;
  const size_t length = rows ? in.row : size_t{kMergeSpan}, columns = size_t{in.models} * kMergeSumColumns;
  return for_each_range(context, in, rows ? rows_of(in) : spans_of(in.count), length, floats, cancelled,
                        [&](size_t begin, size_t end, float* scratch) {
                          for (size_t unit = begin; unit < end; unit++) {
                            context.kernels->merge_sums(call, unit * length,
                                                        std::min<size_t>(in.count, (unit + 1) * length),
                                                        call.sums + unit * columns, scratch);
                          }
                        });
}

WmCode run_merge_gram(WmContext& context, const WmMergeGram& call, WmCancelFlag cancelled, WmError* error) {
  const WmCode code = check_merge_gram(call, error);
  if (code != WM_OK) return code;
  const WmMergeInputs& in = call.inputs;
  const size_t pairs = size_t{in.models} * (in.models + 1) / 2;
  if (call.axis == WM_AXIS_COLUMN) {
    if (in.count == 0) return raised(cancelled) ? WM_CANCELLED : WM_OK;
    const size_t threads = static_cast<size_t>(context.pool.size());
    const size_t most = std::min(kMergeTile, std::max<size_t>(16, kColumnChains / pairs / 16 * 16));
    const size_t width = std::min(most, (in.row / threads / 16 + 1) * 16);
    const size_t floats = merge_scratch(in.models) + merge_gram_scratch(in.models, width);
    return for_each_range(context, in, (in.row + width - 1) / width, width * rows_of(in), floats, cancelled,
                          [&](size_t begin, size_t end, float* scratch) {
                            for (size_t block = begin; block < end; block++) {
                              context.kernels->merge_gram_columns(
                                  call, block * width, std::min<size_t>(in.row, (block + 1) * width),
                                  scratch);
                            }
                          });
  }
  const bool rows = call.axis == WM_AXIS_ROW;
  const size_t length = rows ? in.row : size_t{kMergeSpan};
  const size_t units = rows ? rows_of(in) : spans_of(in.count);
  const size_t floats = merge_scratch(in.models) + merge_gram_scratch(in.models, 1);
  return for_each_range(
      context, in, units, length, floats, cancelled, [&](size_t begin, size_t end, float* scratch) {
        for (size_t unit = begin; unit < end; unit++) {
          context.kernels->merge_gram(call, unit * length, std::min<size_t>(in.count, (unit + 1) * length),
                                      call.sums + unit * pairs, scratch);
        }
      });
}

WmCode run_merge_overlap(WmContext& context, const WmMergeOverlap& call, WmCancelFlag cancelled,
                         WmError* error) {
  const WmCode code = check_merge_overlap(call, error);
  if (code != WM_OK) return code;
  const WmMergeInputs& in = call.inputs;
  const size_t own = merge_scratch(in.models), count = 2 * size_t{in.models};
  return for_each_piece(context, in, own + 2 * count, cancelled,
                        [&](size_t begin, size_t end, float* scratch) {
                          uint64_t* const counts = reinterpret_cast<uint64_t*>(scratch + own);
                          std::fill_n(counts, count, 0);
                          context.kernels->merge_overlap(call, begin, end, counts, scratch);
                          for (size_t i = 0; i < count; i++) {
                            __atomic_fetch_add(call.counts + i, counts[i], __ATOMIC_RELAXED);
                          }
                        });
}

WmCode run_merge_rank_mask(WmContext& context, const WmMergeRankMask& call, WmCancelFlag cancelled,
                           WmError* error) {
  const WmCode code = check_merge_rank_mask(call, error);
  if (code != WM_OK) return code;
  const WmMergeInputs& in = call.inputs;
  if (in.count == 0) return raised(cancelled) ? WM_CANCELLED : WM_OK;
  std::memset(call.mask, 0, (in.count + 7) / 8);
  // Rows that together begin and end on bytes of the mask: no two threads write into one.
  const size_t together = 8 / std::gcd<size_t>(8, in.row), rows = rows_of(in);
  const size_t floats = merge_scratch(in.models) + merge_rank_scratch(in.row);
  return for_each_range(context, in, (rows + together - 1) / together, together * in.row, floats, cancelled,
                        [&](size_t begin, size_t end, float* scratch) {
                          const size_t last = std::min(rows, end * together);
                          for (size_t row = begin * together; row < last; row++) {
                            context.kernels->merge_rank_mask(call, row, scratch);
                          }
                        });
}

WmCode run_merge_divergence(WmContext& context, const WmMergeDivergence& call, WmCancelFlag cancelled,
                            WmError* error) {
  const WmCode code = check_merge_divergence(call, error);
  if (code != WM_OK) return code;
  const WmMergeInputs& in = call.inputs;
  return for_each_range(context, in, rows_of(in), in.row, merge_scratch(in.models), cancelled,
                        [&](size_t begin, size_t end, float* scratch) {
                          for (size_t row = begin; row < end; row++) {
                            context.kernels->merge_divergence(call, row, scratch);
                          }
                        });
}

WmCode run_merge_combine(WmContext& context, const WmMergeCombine& call, WmCancelFlag cancelled,
                         WmError* error) {
  const WmCode code = check_merge_combine(call, error);
  if (code != WM_OK) return code;
  *call.non_finite = 0;
  return for_each_piece(context, call.inputs, merge_scratch(call.inputs.models), cancelled,
                        [&](size_t begin, size_t end, float* scratch) {
                          const uint64_t bad = context.kernels->merge_combine(call, begin, end, scratch);
                          if (bad) __atomic_fetch_add(call.non_finite, bad, __ATOMIC_RELAXED);
                        });
}

}  // namespace wisemerge::cpu
