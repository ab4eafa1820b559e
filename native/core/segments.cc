#include "core/segments.h"

#include <algorithm>
#include <string>

#include "core/status.h"

namespace wisemerge {
namespace {

constexpr double kMaxExact = 9007199254740991.0;  // 2^53 - 1

struct Range {
  uint64_t begin, end;
  size_t row;
  bool written;
};

// Reads the numbers of one row in order; errors name the row.
class RowReader {
 public:
  RowReader(const double* numbers, size_t row, uint64_t arena_bytes)
      : next_(numbers), row_(row), arena_bytes_(arena_bytes) {}

  uint64_t whole(const char* what) {
    const double value = *next_++;
    if (!(value >= 0 && value <= kMaxExact) || value != static_cast<double>(static_cast<uint64_t>(value))) {
      throw Error(
          "ERR_INTERNAL_ARGUMENT",
          where() + what + " must be a whole number from 0 to 2^53 - 1, not " + std::to_string(value));
    }
    return static_cast<uint64_t>(value);
  }

  DType dtype(const char* what) {
    const uint64_t index = whole(what);
    if (index >= kDTypeCount || !is_float(static_cast<DType>(index))) {
      const std::string name = index < kDTypeCount ? kDTypes[index].name : std::to_string(index);
      throw Error("ERR_INTERNAL_ARGUMENT", where() + what + " must be a float dtype, not " + name);
    }
    return static_cast<DType>(index);
  }

  uint64_t offset(const char* what, DType dtype, uint64_t count) {
    const uint64_t begin = whole(what);
    if (begin > arena_bytes_ || count > (arena_bytes_ - begin) / item_size(dtype)) {
      throw Error("ERR_INTERNAL_RANGE", where() + what + " " + std::to_string(begin) + " with " +
                                            std::to_string(count) + " elements of " + dtype_info(dtype).name +
                                            " leaves the arena of " + std::to_string(arena_bytes_) +
                                            " bytes");
    }
    return begin;
  }

 private:
  std::string where() const { return "segment " + std::to_string(row_) + ": "; }

  const double* next_;
  const size_t row_;
  const uint64_t arena_bytes_;
};

size_t row_count(size_t length, size_t columns) {
  if (length % columns) {
    throw Error("ERR_INTERNAL_ARGUMENT", "segments: " + std::to_string(length) +
                                             " numbers are not whole rows of " + std::to_string(columns));
  }
  return length / columns;
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
  const size_t rows = row_count(length, columns);
  LerpSegments segments;
  segments.alpha_count = alpha_count;
  segments.rows.reserve(rows);
  segments.out_offsets.reserve(rows * alpha_count);
  std::vector<Range> ranges;
  ranges.reserve(rows * (2 + alpha_count));
  for (size_t row = 0; row < rows; row++) {
    RowReader reader(numbers + row * columns, row, arena_bytes);
    LerpSegment segment{};
    segment.x_dtype = reader.dtype("xDtype");
    segment.y_dtype = reader.dtype("yDtype");
    segment.out_dtype = reader.dtype("outDtype");
    segment.count = reader.whole("count");
    segment.x_offset = reader.offset("xOffset", segment.x_dtype, segment.count);
    segment.y_offset = reader.offset("yOffset", segment.y_dtype, segment.count);
    const auto add_range = [&](uint64_t begin, DType dtype, bool written) {
      if (segment.count) ranges.push_back({begin, begin + segment.count * item_size(dtype), row, written});
    };
    add_range(segment.x_offset, segment.x_dtype, false);
    add_range(segment.y_offset, segment.y_dtype, false);
    for (uint32_t alpha = 0; alpha < alpha_count; alpha++) {
      const uint64_t offset = reader.offset("outOffset", segment.out_dtype, segment.count);
      segments.out_offsets.push_back(offset);
      add_range(offset, segment.out_dtype, true);
    }
    segments.rows.push_back(segment);
  }
  check_disjoint(std::move(ranges));
  return segments;
}

std::vector<CompareSegment> parse_compare_segments(const double* numbers, size_t length,
                                                   uint64_t arena_bytes) {
  const size_t rows = row_count(length, kCompareColumns);
  std::vector<CompareSegment> segments;
  segments.reserve(rows);
  for (size_t row = 0; row < rows; row++) {
    RowReader reader(numbers + row * kCompareColumns, row, arena_bytes);
    CompareSegment segment{};
    segment.x_dtype = reader.dtype("xDtype");
    segment.y_dtype = reader.dtype("yDtype");
    segment.count = reader.whole("count");
    segment.x_offset = reader.offset("xOffset", segment.x_dtype, segment.count);
    segment.y_offset = reader.offset("yOffset", segment.y_dtype, segment.count);
    segments.push_back(segment);
  }
  return segments;
}

}  // namespace wisemerge
