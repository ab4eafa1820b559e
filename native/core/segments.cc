#include "core/segments.h"

#include <algorithm>
#include <string>

#include "core/numbers.h"
#include "core/status.h"

namespace wisemerge {
namespace {

struct Range {
  uint64_t begin, end;
  size_t row;
  bool written;
};

uint64_t offset(Numbers& row, const char* what, DType dtype, uint64_t count, uint64_t arena_bytes) {
  const uint64_t begin = row.whole(what);
  if (begin > arena_bytes || count > (arena_bytes - begin) / item_size(dtype)) {
    throw Error("ERR_INTERNAL_RANGE", std::string(what) + " " + std::to_string(begin) + " with " +
                                          std::to_string(count) + " elements of " + dtype_info(dtype).name +
                                          " leaves the arena of " + std::to_string(arena_bytes) + " bytes");
  }
  return begin;
}

// Reads every row; errors name it.
template <class Read>
void each_row(const double* numbers, size_t length, size_t columns, const Read& read) {
  if (length % columns) {
    throw Error("ERR_INTERNAL_ARGUMENT", "segments: " + std::to_string(length) +
                                             " numbers are not whole rows of " + std::to_string(columns));
  }
  for (size_t row = 0; row < length / columns; row++) {
    Numbers next(numbers + row * columns, columns);
    try {
      read(next, row);
    } catch (const Error& error) {
      throw Error(error.code(), "segment " + std::to_string(row) + ": " + error.what());
    }
  }
}

// Rows run concurrently, so an output must not meet any other range of the block. Inputs may share bytes.
void check_disjoint(std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  uint64_t any_end = 0, written_end = 0;
  for (const Range& range : ranges) {
    if (range.begin < (range.written ? any_end : written_end)) {
      throw Error("ERR_INTERNAL_RANGE", "segment " + std::to_string(range.row) + ": bytes " +
                                            std::to_string(range.begin) + " to " + std::to_string(range.end) +
                                            " overlap an output or are an output over another range");
    }
    any_end = std::max(any_end, range.end);
    if (range.written) written_end = std::max(written_end, range.end);
  }
}

}  // namespace

LerpSegments parse_lerp_segments(const double* numbers, size_t length, uint32_t alpha_count,
                                 uint64_t arena_bytes) {
  const size_t columns = kLerpColumns + alpha_count;
  LerpSegments segments;
  segments.alpha_count = alpha_count;
  segments.rows.reserve(length / columns);
  segments.out_offsets.reserve(length / columns * alpha_count);
  std::vector<Range> ranges;
  ranges.reserve(length / columns * (2 + alpha_count));
  each_row(numbers, length, columns, [&](Numbers& next, size_t row) {
    LerpSegment segment{};
    segment.x_dtype = next.float_dtype("xDtype");
    segment.y_dtype = next.float_dtype("yDtype");
    segment.out_dtype = next.float_dtype("outDtype");
    segment.count = next.whole("count");
    segment.x_offset = offset(next, "xOffset", segment.x_dtype, segment.count, arena_bytes);
    segment.y_offset = offset(next, "yOffset", segment.y_dtype, segment.count, arena_bytes);
    const auto add_range = [&](uint64_t begin, DType dtype, bool written) {
      if (segment.count) ranges.push_back({begin, begin + segment.count * item_size(dtype), row, written});
    };
    add_range(segment.x_offset, segment.x_dtype, false);
    add_range(segment.y_offset, segment.y_dtype, false);
    for (uint32_t alpha = 0; alpha < alpha_count; alpha++) {
      segments.out_offsets.push_back(
          offset(next, "outOffset", segment.out_dtype, segment.count, arena_bytes));
      add_range(segments.out_offsets.back(), segment.out_dtype, true);
    }
    segments.rows.push_back(segment);
  });
  check_disjoint(std::move(ranges));
  return segments;
}

std::vector<CompareSegment> parse_compare_segments(const double* numbers, size_t length,
                                                   uint64_t arena_bytes) {
  std::vector<CompareSegment> segments;
  segments.reserve(length / kCompareColumns);
  each_row(numbers, length, kCompareColumns, [&](Numbers& next, size_t) {
    CompareSegment segment{};
    segment.x_dtype = next.float_dtype("xDtype");
    segment.y_dtype = next.float_dtype("yDtype");
    segment.count = next.whole("count");
    segment.x_offset = offset(next, "xOffset", segment.x_dtype, segment.count, arena_bytes);
    segment.y_offset = offset(next, "yOffset", segment.y_dtype, segment.count, arena_bytes);
    segments.push_back(segment);
  });
  return segments;
}

}  // namespace wisemerge
