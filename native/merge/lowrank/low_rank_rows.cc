#include "merge/lowrank/low_rank_rows.h"

#include <string>

#include "core/number_row.h"

namespace wisemerge {

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
  task.dtype = row.float_dtype();
  if (task.dtype != DType::kF32 && task.dtype != DType::kF16 && task.dtype != DType::kBF16) {
    throw Error("ERR_INTERNAL_ARGUMENT", "factors are F32, F16 or BF16");
  }
  task.transposed = row.whole() != 0;
  const uint64_t item = item_size(task.dtype);
  task.a = row.range<uint8_t>("a", times(task.rank, task.transposed ? task.rows : task.columns), item);
  task.b = row.range<uint8_t>("b", times(task.rank, task.transposed ? task.columns : task.rows), item);
  return task;
}

}  // namespace wisemerge
