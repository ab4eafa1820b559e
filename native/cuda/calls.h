// The backend's long calls: cut the items into ranges, fill slots with them, launch.
#pragma once

#include "cuda/context.h"
#include "wisemerge/backend.h"

namespace wisemerge::cuda {

// WM_OK or WM_CANCELLED; throws Failure. The caller abandons the context in either other case.
WmCode run_lerp(WmContext& context, const WmLerp* items, uint32_t count, WmCancelFlag cancelled);
WmCode run_compare(WmContext& context, const WmCompare* items, uint32_t count, WmCancelFlag cancelled);
WmCode run_matmul(WmContext& context, const WmMatmul& call, WmCancelFlag cancelled);
WmCode run_path(WmContext& context, const WmPath& call, WmCancelFlag cancelled);
WmCode run_metrics(WmContext& context, const WmHeadMetrics& call, WmCancelFlag cancelled);
WmCode run_moments(WmContext& context, const WmHeadMoments& call, WmCancelFlag cancelled);
WmCode run_merge_count(WmContext& context, const WmMergeCount& call, WmCancelFlag cancelled);
WmCode run_merge_sums(WmContext& context, const WmMergeSums& call, WmCancelFlag cancelled);
WmCode run_merge_gram(WmContext& context, const WmMergeGram& call, WmCancelFlag cancelled);
WmCode run_merge_overlap(WmContext& context, const WmMergeOverlap& call, WmCancelFlag cancelled);
WmCode run_merge_rank_mask(WmContext& context, const WmMergeRankMask& call, WmCancelFlag cancelled);
WmCode run_merge_divergence(WmContext& context, const WmMergeDivergence& call, WmCancelFlag cancelled);
WmCode run_merge_combine(WmContext& context, const WmMergeCombine& call, WmCancelFlag cancelled);

inline bool raised(WmCancelFlag cancelled) {
  return cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED) != 0;
}

}  // namespace wisemerge::cuda
