#include "merge/combine_rows.h"

#include <string>
#include <utility>

#include "core/number_row.h"
#include "merge/combination.h"

namespace wisemerge {

CombineTask parse_combine(const double* numbers, size_t length, std::vector<double> weights, uint8_t* arena,
                          uint64_t bytes) {
  constexpr size_t kNumbers = 3, kInputNumbers = 2, kCount = 2;
  const size_t inputs = weights.size();
  NumberRow row(numbers, length, kNumbers + kInputNumbers * inputs, arena, bytes);
  CombineTask task{};
  task.count = NumberRow(numbers + kCount, 1, 1, arena, bytes).whole();
  task.out_dtype = row.float_dtype();
  task.out = row.range<uint8_t>("out", task.count, item_size(task.out_dtype));
  row.whole();
  for (size_t i = 0; i < inputs; i++) {
    const DType dtype = row.float_dtype();
    task.dtypes.push_back(static_cast<int32_t>(dtype));
    task.x.push_back(row.range<uint8_t>("x", task.count, item_size(dtype)));
  }
  task.weights = std::move(weights);
  return task;
}

uint64_t run_combine(Engine& engine, const CombineTask& task, WmCancelFlag cancelled) {
  const bool mean = is_mean(task.weights) && task.weights.size() > 1;
  uint64_t non_finite = 0;
  WmMergeCombine call{};
  call.inputs.count = task.count;
  call.inputs.row = 1;
  call.inputs.models = static_cast<uint32_t>(task.x.size() - (mean ? 1 : 0));
  call.inputs.x = task.x.data() + (mean ? 1 : 0);
  call.inputs.x_dtypes = task.dtypes.data() + (mean ? 1 : 0);
  if (mean) {
    call.inputs.base = task.x[0];
    call.inputs.base_dtype = task.dtypes[0];
  }
  call.operation = mean ? WM_MERGE_DELTA_SUM : WM_MERGE_SUM;
  call.weights = task.weights.data() + (mean ? 1 : 0);
  call.out_dtype = static_cast<int32_t>(task.out_dtype);
  call.out = task.out;
  call.non_finite = &non_finite;
  engine.merge_combine(call, cancelled);
  return non_finite;
}

}  // namespace wisemerge
