// Evaluation of linear heads on the CPU: samples cut into blocks for threads, and their sums put together in
// one order.
#pragma once

#include "cpu/calls.h"

namespace wisemerge::cpu {

// `call` is what an error names.
WmCode check_labels(const int32_t* labels, uint64_t rows, uint64_t classes, const char* call, WmError* error);
WmCode check_interval(double from, double to, const char* call, WmError* error);

WmCode run_path(WmContext& context, const WmPath& call, WmCancelFlag cancelled, WmError* error);
WmCode run_metrics(WmContext& context, const WmHeadMetrics& call, WmCancelFlag cancelled, WmError* error);
WmCode run_moments(WmContext& context, const WmHeadMoments& call, WmCancelFlag cancelled, WmError* error);
WmCode run_outputs(WmContext& context, const WmHeadOutputs& call, WmCancelFlag cancelled, WmError* error);

}  // namespace wisemerge::cpu
