// Merging of many models on the CPU (merge.h, backend.h): what runs on the thread pool.
#pragma once

#include "cpu/calls.h"

namespace wisemerge::cpu {

WmCode run_merge_count(WmContext& context, const WmMergeCount& call, WmCancelFlag cancelled, WmError* error);
WmCode run_merge_sums(WmContext& context, const WmMergeSums& call, WmCancelFlag cancelled, WmError* error);
WmCode run_merge_gram(WmContext& context, const WmMergeGram& call, WmCancelFlag cancelled, WmError* error);
WmCode run_merge_overlap(WmContext& context, const WmMergeOverlap& call, WmCancelFlag cancelled,
                         WmError* error);
WmCode run_merge_rank_mask(WmContext& context, const WmMergeRankMask& call, WmCancelFlag cancelled,
                           WmError* error);
WmCode run_merge_divergence(WmContext& context, const WmMergeDivergence& call, WmCancelFlag cancelled,
                            WmError* error);
WmCode run_merge_combine(WmContext& context, const WmMergeCombine& call, WmCancelFlag cancelled,
                         WmError* error);

}  // namespace wisemerge::cpu
