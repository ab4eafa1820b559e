#include "cpu/merge_arguments.h"

#include <cmath>

#include "wisemerge/dtype.h"
#include "wisemerge/merge.h"

namespace wisemerge::cpu {
namespace {

bool aligned(const void* pointer, size_t alignment) {
  return reinterpret_cast<uintptr_t>(pointer) % alignment == 0;
}

// One tensor's range; `index` counts the models, -1 is the base, -2 the output.
WmCode check_tensor(const char* call, int index, int32_t dtype, const void* data, uint64_t count,
                    WmError* error) {
  char name[24];
  std::snprintf(name, sizeof(name), index == -2 ? "out" : index == -1 ? "base" : "x[%d]", index);
  if (dtype < 0 || static_cast<uint32_t>(dtype) >= kDTypeCount || !is_float(static_cast<DType>(dtype))) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: dtype %d of %s is not a float dtype", call,
                static_cast<int>(dtype), name);
  }
  const uint32_t size = item_size(static_cast<DType>(dtype));
  if (count > SIZE_MAX / sizeof(double)) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: %llu elements exceed the address space", call,
                static_cast<unsigned long long>(count));
  }
  if (count > 0 && !data) return fail(error, WM_INVALID_ARGUMENT, "%s: %s is null", call, name);
  if (!aligned(data, size)) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: %s at %p is not aligned to its %u-byte elements", call, name,
                data, size);
  }
  return WM_OK;
}

WmCode check_rows(const WmMergeInputs& in, bool whole, const char* call, WmError* error) {
  if (in.row == 0) return fail(error, WM_INVALID_ARGUMENT, "%s: rows of 0 elements", call);
  if (whole && (in.first % in.row || in.count % in.row)) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: elements %llu to %llu are not whole rows of %llu", call,
                static_cast<unsigned long long>(in.first),
                static_cast<unsigned long long>(in.first + in.count),
                static_cast<unsigned long long>(in.row));
  }
  return WM_OK;
}

WmCode check_finite(const char* what, const double* values, uint32_t count, const char* call,
                    WmError* error) {
  if (!values) return fail(error, WM_INVALID_ARGUMENT, "%s: %ss are null", call, what);
  for (uint32_t i = 0; i < count; i++) {
    if (!std::isfinite(values[i])) {
      return fail(error, WM_INVALID_ARGUMENT, "%s: %s %u is %g; it must be finite", call, what, i, values[i]);
    }
  }
  return WM_OK;
}

// What an operation takes besides its inputs.
struct Needs {
  bool base, weights, factors, keeps, axes;
  int parameters;
};
constexpr Needs kNeeds[] = {
    {false, true, false, false, true, 0},   // WM_MERGE_SUM
    {true, true, false, true, true, 0},     // WM_MERGE_DELTA_SUM
    {true, true, true, true, false, 2},     // WM_MERGE_CONSENSUS
    {true, true, false, true, false, 1},    // WM_MERGE_ELECTED
    {true, false, true, false, false, 1},   // WM_MERGE_OVERLAP
    {true, false, false, false, false, 1},  // WM_MERGE_NEARSWAP
    {false, true, false, false, false, 1},  // WM_MERGE_FISHER
    {true, false, false, true, false, 0},   // WM_MERGE_TAKE
    {false, true, false, false, false, 2},  // WM_MERGE_ROUNDED_SUM
    {true, true, false, false, false, 2},   // WM_MERGE_ROUNDED_DELTA_SUM
};

bool rounds_to(int32_t dtype) {
  switch (static_cast<DType>(dtype)) {
    case DType::kF64:
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      return true;
    default:
      return false;
  }
}

}  // namespace

WmCode check_merge_inputs(const WmMergeInputs& in, MergeRange range, const char* call, WmError* error) {
  if (in.models == 0 || !in.x || !in.x_dtypes) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: %u models, or x or x_dtypes is null", call, in.models);
  }
  for (uint32_t i = 0; i < in.models; i++) {
    const WmCode code = check_tensor(call, static_cast<int>(i), in.x_dtypes[i], in.x[i], in.count, error);
    if (code != WM_OK) return code;
  }
  if (in.base) {
    const WmCode code = check_tensor(call, -1, in.base_dtype, in.base, in.count, error);
    if (code != WM_OK) return code;
  }
  if (range == MergeRange::kRows) return check_rows(in, true, call, error);
  if (range == MergeRange::kSpans && in.first % kMergeSpan) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: first is %llu; it must be a multiple of %u", call,
                static_cast<unsigned long long>(in.first), kMergeSpan);
  }
  return WM_OK;
}

WmCode check_merge_base(const WmMergeInputs& in, bool wanted, const char* call, WmError* error) {
  if (!in.base == !wanted || in.count == 0) return WM_OK;
  return fail(error, WM_INVALID_ARGUMENT, wanted ? "%s: base is null" : "%s: this operation takes no base",
              call);
}

WmCode check_merge_score(const WmMergeInputs& in, int32_t score, const double* row_scores, const char* call,
                         WmError* error) {
  if (score < WM_SCORE_MAGNITUDE || score > WM_SCORE_ROW_SCALED) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: there is no score %d", call, static_cast<int>(score));
  }
  if (score != WM_SCORE_ROW_SCALED) return WM_OK;
  if (in.count > 0 && !row_scores) return fail(error, WM_INVALID_ARGUMENT, "%s: row_scores is null", call);
  return check_rows(in, false, call, error);
}

WmCode check_merge_keeps(const WmMergeInputs& in, const WmKeep* keeps, const char* call, WmError* error) {
  for (uint32_t i = 0; i < in.models; i++) {
    const WmKeep& keep = keeps[i];
    if (keep.rule < WM_KEEP_ALL || keep.rule > WM_KEEP_MASKED) {
      return fail(error, WM_INVALID_ARGUMENT, "%s: keep %u: there is no rule %d", call, i,
                  static_cast<int>(keep.rule));
    }
    if (keep.rule == WM_KEEP_RANKED) {
      const WmCode code = check_merge_score(in, keep.score, keep.row_scores, call, error);
      if (code != WM_OK) return code;
    }
    if (keep.rule == WM_KEEP_RANDOM && std::isnan(keep.probability)) {
      return fail(error, WM_INVALID_ARGUMENT, "%s: keep %u: the probability is NaN", call, i);
    }
    if (keep.rule == WM_KEEP_MASKED && in.count > 0 && !keep.mask) {
      return fail(error, WM_INVALID_ARGUMENT, "%s: keep %u: mask is null", call, i);
    }
  }
  return WM_OK;
}

WmCode check_merge_output(const WmMergeInputs& in, const char* what, const void* out, size_t alignment,
                          const char* call, WmError* error) {
  if (in.count == 0 || (out && aligned(out, alignment))) return WM_OK;
  return fail(error, WM_INVALID_ARGUMENT, "%s: %s at %p is null or not aligned to %zu bytes", call, what, out,
              alignment);
}

WmCode check_merge_combine(const WmMergeCombine& call, WmError* error) {
  const char* const name = "merge_combine";
  const WmMergeInputs& in = call.inputs;
  if (call.operation < WM_MERGE_SUM || call.operation > WM_MERGE_ROUNDED_DELTA_SUM) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: there is no operation %d", name,
                static_cast<int>(call.operation));
  }
  const Needs& needs = kNeeds[call.operation];
  if (call.axis < WM_AXIS_WHOLE || call.axis > WM_AXIS_COLUMN ||
      (call.axis != WM_AXIS_WHOLE && !needs.axes)) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: operation %d has no axis %d", name,
                static_cast<int>(call.operation), static_cast<int>(call.axis));
  }
  const MergeRange range = call.axis == WM_AXIS_ROW ? MergeRange::kRows : MergeRange::kAny;
  WmCode code = check_merge_inputs(in, range, name, error);
  if (code == WM_OK && call.axis == WM_AXIS_COLUMN) code = check_rows(in, false, name, error);
  if (code == WM_OK) code = check_merge_base(in, needs.base, name, error);
  if (code != WM_OK) return code;

  const uint32_t models = call.operation == WM_MERGE_FISHER ? in.models / 2 : in.models;
  if ((call.operation == WM_MERGE_FISHER && in.models % 2) ||
      ((call.operation == WM_MERGE_NEARSWAP || call.operation == WM_MERGE_TAKE) && in.models != 1)) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: operation %d does not take %u inputs", name,
                static_cast<int>(call.operation), in.models);
  }
  const bool whole = call.axis == WM_AXIS_WHOLE;
  if (needs.weights) code = check_finite("weight", call.weights, whole ? models : 0, name, error);
  if (code == WM_OK && needs.factors) code = check_finite("factor", call.factors, models, name, error);
  if (code == WM_OK && needs.parameters) {
    code = check_finite("parameter", call.parameters, static_cast<uint32_t>(needs.parameters), name, error);
  }
  if (code == WM_OK && call.keeps) {
    if (!needs.keeps) {
      return fail(error, WM_INVALID_ARGUMENT, "%s: operation %d takes no keeps", name,
                  static_cast<int>(call.operation));
    }
    code = check_merge_keeps(in, call.keeps, name, error);
  }
  if (code == WM_OK && call.operation >= WM_MERGE_ROUNDED_SUM && !rounds_to(call.work_dtype)) {
    return fail(error, WM_INVALID_ARGUMENT, "%s: nothing is rounded to dtype %d", name,
                static_cast<int>(call.work_dtype));
  }
  if (code == WM_OK) code = check_tensor(name, -2, call.out_dtype, call.out, in.count, error);
  if (code != WM_OK) return code;
  if (!call.non_finite) return fail(error, WM_INVALID_ARGUMENT, "%s: non_finite is null", name);
  return WM_OK;
}

}  // namespace wisemerge::cpu
