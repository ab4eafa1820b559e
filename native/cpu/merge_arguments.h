// What the calls of merging many models check before they compute. Each function returns WM_OK, or fills the
// error with what is wrong, by the names of backend.h.
#pragma once

#include "cpu/calls.h"

namespace wisemerge::cpu {

// How a call's range lies in the tensor.
enum class MergeRange { kAny, kSpans, kRows };

WmCode check_merge_inputs(const WmMergeInputs& in, MergeRange range, const char* call, WmError* error);

// A method that takes deltas from a base, or none.
WmCode check_merge_base(const WmMergeInputs& in, bool wanted, const char* call, WmError* error);

WmCode check_merge_score(const WmMergeInputs& in, int32_t score, const double* row_scores, const char* call,
                         WmError* error);
WmCode check_merge_keeps(const WmMergeInputs& in, const WmKeep* keeps, const char* call, WmError* error);

// `out` is where results go; null is allowed where the range is empty.
WmCode check_merge_output(const WmMergeInputs& in, const char* what, const void* out, size_t alignment,
                          const char* call, WmError* error);

WmCode check_merge_combine(const WmMergeCombine& call, WmError* error);

}  // namespace wisemerge::cpu
