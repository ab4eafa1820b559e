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

// The operands of a matrix product begin at these numbers; strides come behind the offsets whose ranges need
// them.
constexpr size_t kOperand = 3, kWeights = 7;

WmMatrix parse_operand(NumberRow& row, const double* numbers, const char* what, uint64_t rows,
                       uint64_t columns, uint8_t* arena, uint64_t bytes) {
  WmMatrix matrix{};
  matrix.dtype = static_cast<int32_t>(row.float_dtype());
  matrix.row_stride = NumberRow(numbers + kOperand + 2, 1, 1, arena, bytes).whole();
  matrix.column_stride = NumberRow(numbers + kOperand + 3, 1, 1, arena, bytes).whole();
  matrix.data = row.range<uint8_t>(what, extent(rows, matrix.row_stride, columns, matrix.column_stride),
                                   item_size(static_cast<DType>(matrix.dtype)));
  row.whole();
  row.whole();
  return matrix;
}

void parse_weights(NumberRow& row, const double* numbers, uint64_t rows, uint64_t columns, uint8_t* arena,
                   uint64_t bytes, WmMatrix& w0, WmMatrix& w1) {
  w0.dtype = w1.dtype = static_cast<int32_t>(row.float_dtype());
  w0.row_stride = w1.row_stride = NumberRow(numbers + kWeights + 3, 1, 1, arena, bytes).whole();
  w0.column_stride = w1.column_stride = NumberRow(numbers + kWeights + 4, 1, 1, arena, bytes).whole();
  const uint64_t count = extent(rows, w0.row_stride, columns, w0.column_stride);
  const uint32_t size = item_size(static_cast<DType>(w0.dtype));
  w0.data = row.range<uint8_t>("w0", count, size);
  w1.data = row.optional<uint8_t>("w1", count, size);
  row.whole();
  row.whole();
}

constexpr size_t kLogitsNumbers = 6, kMoments = 6;

}  // namespace

WmMatmul parse_matmul(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  NumberRow row(numbers, length, 17, arena, bytes);
  WmMatmul call{};
  call.m = row.whole();
  call.n = row.whole();
  call.k = row.whole();
  call.a = parse_operand(row, numbers, "a", call.m, call.k, arena, bytes);
  parse_weights(row, numbers, call.n, call.k, arena, bytes, call.w0, call.w1);
  call.alpha = row.number();
  call.bias0 = row.optional<float>("bias0", call.n);
  call.bias1 = row.optional<float>("bias1", call.n);
  call.out_stride = NumberRow(numbers + 16, 1, 1, arena, bytes).whole();
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

WmCurve parse_head_curve(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  NumberRow row(numbers, length, 20, arena, bytes);
  WmCurve call{};
  call.rows = row.whole();
  call.classes = row.whole();
  call.dimension = row.whole();
  call.features = parse_operand(row, numbers, "features", call.rows, call.dimension, arena, bytes);
  parse_weights(row, numbers, call.classes, call.dimension, arena, bytes, call.w0, call.w1);
  call.bias0 = row.optional<float>("bias0", call.classes);
  call.bias1 = row.optional<float>("bias1", call.classes);
  call.labels = row.range<int32_t>("labels", call.rows);
  call.from = row.number();
  call.to = row.number();
  call.lo = row.range<double>("lo", call.rows);
  call.hi = row.range<double>("hi", call.rows);
  call.open = row.range<uint8_t>("open", call.rows);
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
