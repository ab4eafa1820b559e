#include "core/head_rows.h"

#include <string>

#include "core/number_row.h"
#include "core/status.h"
#include "wisemerge/dtype.h"
#include "wisemerge/head.h"

namespace wisemerge {
namespace {

// Elements from the first to the last of a strided matrix; throws where that is no number of elements.
uint64_t extent(uint64_t rows, uint64_t row_stride, uint64_t columns, uint64_t column_stride) {
  if (rows == 0 || columns == 0) return 0;
  uint64_t down, across, all;
  if (__builtin_mul_overflow(rows - 1, row_stride, &down) ||
      __builtin_mul_overflow(columns - 1, column_stride, &across) ||
      __builtin_add_overflow(down, across, &all) || all == UINT64_MAX) {
    throw Error("ERR_INTERNAL_RANGE", "a matrix exceeds the address space");
  }
  return all + 1;
}

int32_t matrix_dtype(NumberRow& row) {
  const uint64_t dtype = row.whole();
  if (dtype >= kDTypeCount || !is_float(static_cast<DType>(dtype))) {
    throw Error("ERR_INTERNAL_ARGUMENT", "dtype " + std::to_string(dtype) + " is not a float dtype");
  }
  return static_cast<int32_t>(dtype);
}

WmLogits parse_logits(NumberRow& row) {
  WmLogits logits{};
  logits.rows = row.whole();
  logits.classes = row.whole();
  logits.stride = row.whole();
  const uint64_t count = extent(logits.rows, logits.stride, logits.classes, 1);
  logits.z0 = row.range<float>("z0", count);
  logits.z1 = row.range<float>("z1", count);
  logits.labels = row.range<int32_t>("labels", logits.rows);
  return logits;
}

constexpr size_t kLogitsNumbers = 6, kMoments = 6;

}  // namespace

WmMatmul parse_matmul(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  NumberRow row(numbers, length, 17, arena, bytes);
  WmMatmul call{};
  call.m = row.whole();
  call.n = row.whole();
  call.k = row.whole();
  call.a.dtype = matrix_dtype(row);
  // Strides come behind the offsets whose ranges need them.
  const auto whole_at = [&](size_t at) { return NumberRow(numbers + at, 1, 1, arena, bytes).whole(); };
  call.a.row_stride = whole_at(5);
  call.a.column_stride = whole_at(6);
  call.a.data = row.range<uint8_t>("a", extent(call.m, call.a.row_stride, call.k, call.a.column_stride),
                                   item_size(static_cast<DType>(call.a.dtype)));
  row.whole();
  row.whole();
  call.w0.dtype = call.w1.dtype = matrix_dtype(row);
  call.w0.row_stride = call.w1.row_stride = whole_at(10);
  call.w0.column_stride = call.w1.column_stride = whole_at(11);
  const uint64_t weights = extent(call.n, call.w0.row_stride, call.k, call.w0.column_stride);
  const uint32_t size = item_size(static_cast<DType>(call.w0.dtype));
  call.w0.data = row.range<uint8_t>("w0", weights, size);
  call.w1.data = row.optional<uint8_t>("w1", weights, size);
  row.whole();
  row.whole();
  call.alpha = row.number();
  call.bias0 = row.optional<float>("bias0", call.n);
  call.bias1 = row.optional<float>("bias1", call.n);
  call.out_stride = whole_at(16);
  call.out = row.range<float>("out", extent(call.m, call.out_stride, call.n, 1));
  return call;
}

WmPath parse_head_path(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  NumberRow row(numbers, length, kLogitsNumbers + 5, arena, bytes);
  WmPath call{};
  call.logits = parse_logits(row);
  call.from = row.number();
  call.to = row.number();
  call.lo = row.range<double>("lo", call.logits.rows);
  call.hi = row.range<double>("hi", call.logits.rows);
  call.open = row.range<uint8_t>("open", call.logits.rows);
  return call;
}

WmHeadMetrics parse_head_metrics(const double* numbers, size_t length, const std::vector<double>& alphas,
                                 uint8_t* arena, uint64_t bytes) {
  NumberRow row(numbers, length, kLogitsNumbers + 6, arena, bytes);
  WmHeadMetrics call{};
  call.logits = parse_logits(row);
  call.lo = row.range<double>("lo", call.logits.rows);
  call.hi = row.range<double>("hi", call.logits.rows);
  call.open = row.range<uint8_t>("open", call.logits.rows);
  call.alphas = alphas.data();
  call.alpha_count = static_cast<uint32_t>(alphas.size());
  call.sums = row.range<double>("sums", times(alphas.size(), kMetricColumns));
  call.predicted = row.optional<uint32_t>("predicted", times(alphas.size(), call.logits.classes));
  call.predictions = row.optional<int32_t>("predictions", times(alphas.size(), call.logits.rows));
  return call;
}

WmHeadMoments parse_head_moments(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  NumberRow row(numbers, length, kLogitsNumbers + 4, arena, bytes);
  WmHeadMoments call{};
  call.logits = parse_logits(row);
  call.weights = row.optional<double>("weights", call.logits.rows);
  call.b = row.number();
  call.g = row.number();
  call.sums = row.range<double>("sums", kMoments);
  return call;
}

WmHeadOutputs parse_head_outputs(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  NumberRow row(numbers, length, kLogitsNumbers + 2, arena, bytes);
  WmHeadOutputs call{};
  call.logits = parse_logits(row);
  call.alpha = row.number();
  call.outputs = row.range<double>("outputs", times(call.logits.rows, kOutputColumns));
  return call;
}

}  // namespace wisemerge
