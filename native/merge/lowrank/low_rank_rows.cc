#include "merge/lowrank/low_rank_rows.h"

#include <string>

#include "core/number_row.h"

namespace wisemerge {
namespace {

DType float_dtype(NumberRow& row) {
  const uint64_t dtype = row.whole();
  if (dtype >= kDTypeCount || !is_float(static_cast<DType>(dtype))) {
    throw Error("ERR_INTERNAL_ARGUMENT", "dtype " + std::to_string(dtype) + " is not a float dtype");
  }
  return static_cast<DType>(dtype);
}

}  // namespace

DifferenceTask parse_difference(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  constexpr size_t kNumbers = 6, kCount = 4;
  NumberRow row(numbers, length, kNumbers, arena, bytes);
  DifferenceTask task{};
  task.count = NumberRow(numbers + kCount, 1, 1, arena, bytes).whole();
  task.x_dtype = float_dtype(row);
  task.x = row.range<uint8_t>("x", task.count, item_size(task.x_dtype));
  task.y_dtype = float_dtype(row);
  task.y = row.range<uint8_t>("y", task.count, item_size(task.y_dtype));
  row.whole();
  task.out = row.range<float>("out", task.count);
  return task;
}

LowRankTask parse_decompose(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  constexpr size_t kNumbers = 9, kRows = 1;
  NumberRow row(numbers, length, kNumbers, arena, bytes);
  LowRankTask task{};
  task.rows = NumberRow(numbers + kRows, 1, 1, arena, bytes).whole();
  task.columns = NumberRow(numbers + kRows + 1, 1, 1, arena, bytes).whole();
  task.matrix = row.range<float>("matrix", times(task.rows, task.columns));
  row.whole();
  row.whole();
  task.rank = row.whole();
  task.energy = row.number();
  if (task.rank == 0 || !(task.energy > 0 && task.energy <= 1)) {
    throw Error("ERR_INTERNAL_ARGUMENT", "a rank from 1 and a share in (0, 1] are wanted");
  }
  task.dtype = float_dtype(row);
  if (task.dtype != DType::kF32 && task.dtype != DType::kF16 && task.dtype != DType::kBF16) {
    throw Error("ERR_INTERNAL_ARGUMENT", "factors are F32, F16 or BF16");
  }
  task.transposed = row.whole() != 0;
  const uint64_t item = item_size(task.dtype);
  task.a = row.range<uint8_t>("a", times(task.rank, task.transposed ? task.rows : task.columns), item);
  task.b = row.range<uint8_t>("b", times(task.rank, task.transposed ? task.columns : task.rows), item);
  return task;
}

uint64_t run_difference(Engine& engine, const DifferenceTask& task, WmCancelFlag cancelled) {
  // One product is exact, so that the sum is y - x rounded once.
  const void* const x[] = {task.y, task.x};
  const int32_t dtypes[] = {static_cast<int32_t>(task.y_dtype), static_cast<int32_t>(task.x_dtype)};
  const double weights[] = {1, -1};
  uint64_t non_finite = 0;
  WmMergeCombine call{};
  call.inputs.count = task.count;
  call.inputs.row = 1;
  call.inputs.models = 2;
  call.inputs.x = x;
  call.inputs.x_dtypes = dtypes;
  call.operation = WM_MERGE_SUM;
  call.weights = weights;
  call.out_dtype = static_cast<int32_t>(DType::kF32);
  call.out = task.out;
  call.non_finite = &non_finite;
  engine.merge_combine(call, cancelled);
  return non_finite;
}

}  // namespace wisemerge
