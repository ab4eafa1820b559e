// All kernels of one SIMD level. Included by kernels_<level>.cc after vec_<level>.h, inside the level's
// namespace and target region.
//
// Everything in here has this namespace in its mangled name, so that the linker never hands one level's code
// to another. For the same reason nothing in here instantiates a template of the standard library that
// compiles to a function.

// Each builds on those before it.
// clang-format off
#include "cpu/codecs.inl"
#include "cpu/fused.inl"
#include "cpu/blocks.inl"
#include "cpu/lerp.inl"
#include "cpu/compare.inl"
#include "cpu/hash.inl"
#include "cpu/matmul.inl"
#include "cpu/softmax.inl"
#include "cpu/head_path.inl"
#include "cpu/head_metrics.inl"
#include "cpu/head_outputs.inl"
#include "cpu/attention.inl"
#include "cpu/passes.inl"
#include "cpu/merge_tile.inl"
#include "cpu/merge_keep.inl"
#include "cpu/merge_count.inl"
#include "cpu/merge_sums.inl"
#include "cpu/merge_gram.inl"
#include "cpu/merge_row_ranks.inl"
#include "cpu/merge_rank.inl"
#include "cpu/merge_rows.inl"
#include "cpu/merge_fused.inl"
#include "cpu/merge_random.inl"
#include "cpu/merge_combine.inl"
// clang-format on
