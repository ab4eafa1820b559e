// WmMergeCombine: one output from all inputs, by the functions of merge.h.
//
// A thread brings a pack of every input to shared memory, in a column of its own, and goes through the models
// there as often as the operation asks. For more models than shared memory has room for, the columns are in
// device memory.
#pragma once

#include "cuda/kernels/merge_keep.h"

namespace wisemerge::cuda {

struct MergeCombine {
  MergeChunk chunk;
  int32_t operation, axis;
  bool deltas;            // of the models, not their values
  bool by_variance;       // of a keep at least
  uint64_t first_column;  // that weights[0] belongs to
  // As in WmMergeCombine; for rows and columns from those of the chunk on. keeps are null where all are kept,
  // factors where the operation has none.
  const double *weights, *factors;
  const WmKeep* keeps;
  double parameters[2];
  DType work_dtype;  // of WM_MERGE_ROUNDED_SUM and WM_MERGE_ROUNDED_DELTA_SUM
  void* out;
  DType out_dtype;
  uint64_t* non_finite;  // added to
};

inline constexpr uint32_t kCombineThreads = 64;
// Of shared memory: what every device gives a block without being asked for more.
inline constexpr uint32_t kCombineShared = 48u << 10;

// Of a column: the models, the base, and where a keep is by variance, its scores.
WM_HD uint32_t combine_inputs(const MergeCombine& call) { return call.chunk.models + 1 + call.by_variance; }
// The columns of a block.
WM_HD uint64_t combine_memory(const MergeCombine& call) {
  const uint64_t size = call.chunk.wide ? sizeof(double) : sizeof(float);
  return combine_inputs(call) * size * kMergePack * kCombineThreads;
}

// Where the weights of element e are.
WM_HD uint64_t weights_at(const MergeCombine& call, uint64_t e) {
  const MergeChunk& chunk = call.chunk;
  if (call.axis == WM_AXIS_ROW) return row_of(chunk, e) * chunk.models;
  if (call.axis == WM_AXIS_COLUMN) {
    return ((chunk.first + e) % chunk.row - call.first_column) * chunk.models;
  }
  return 0;
}

// value(i): model i's value or delta, times its factor, if it is kept; else what cut_values() puts there.
template <class Scalar, class Value>
WM_HD Scalar combine_element(const MergeCombine& call, uint64_t e, Scalar base, const Value& value) {
  const uint32_t models = call.chunk.models;
  const double* const weights = call.weights + weights_at(call, e);
  const auto weight = [&](uint32_t i) { return static_cast<Scalar>(weights[i]); };
  const auto factor = [&](uint32_t i) { return static_cast<Scalar>(call.factors[i]); };
  const Scalar first = static_cast<Scalar>(call.parameters[0]);
  switch (call.operation) {
    case WM_MERGE_SUM:
      return merge_sum<Scalar>(models, value, weight);
    case WM_MERGE_DELTA_SUM: {
      Scalar sum = base;
      for (uint32_t i = 0; i < models; i++) sum = merge_add(sum, weight(i), value(i), true);
      return sum;
    }
    case WM_MERGE_CONSENSUS:
      return merge_add_to(base, merge_consensus<Scalar>(models, value, weight, call.parameters[0] != 0,
                                                        static_cast<Scalar>(call.parameters[1])));
    case WM_MERGE_ELECTED:
      return merge_add_to(base, merge_elected<Scalar>(models, value, weight, first));
    case WM_MERGE_OVERLAP:
      return merge_add_to(base, merge_overlap<Scalar>(models, value, factor, first));
    case WM_MERGE_NEARSWAP:
      return merge_nearswap(base, value(0), first);
    case WM_MERGE_FISHER:
      return merge_fisher<Scalar>(
          models / 2, value, [&](uint32_t i) { return value(models / 2 + i); }, weight, first);
    case WM_MERGE_TAKE:
      return value(0);
    default:
      return merge_rounded<Scalar>(models, call.operation == WM_MERGE_ROUNDED_DELTA_SUM, base, value, weight,
                                   first, static_cast<Scalar>(call.parameters[1]), call.work_dtype);
  }
}

// A kept delta with the factor that it has before its operation.
template <class Scalar>
WM_HD Scalar scaled(const MergeCombine& call, uint32_t i, Scalar delta) {
  return call.operation == WM_MERGE_CONSENSUS ? static_cast<Scalar>(call.factors[i]) * delta : delta;
}

// A thread's packs in the block's memory, `stride` values from one of its own to the next.
template <class Scalar>
struct CombineColumn {
  Scalar* first;
  uint32_t stride;
  WM_HD Scalar& at(uint32_t input, uint32_t i) const { return first[(input * kMergePack + i) * stride]; }
};

template <class Scalar>
WM_HD void stage_values(const MergeCombine& call, uint64_t e, uint32_t n,
                        const CombineColumn<Scalar>& column) {
  const MergeChunk& chunk = call.chunk;
  Scalar base[kMergePack] = {}, x[kMergePack] = {};
  WM_NO_UNROLL
  for (uint32_t input = chunk.base.data ? 0 : 1; input <= chunk.models; input++) {  // the base first
    load_values(input_of(chunk, input), e, 1, n, x);
    if (input == 0) {
      copy_values(x, base);
      continue;
    }
    if (call.deltas) to_deltas(x, base);
    WM_UNROLL
    for (uint32_t i = 0; i < kMergePack; i++) column.at(input - 1, i) = x[i];
  }
  WM_UNROLL
  for (uint32_t i = 0; i < kMergePack; i++) column.at(chunk.models, i) = base[i];
}

// What is not kept becomes 0, or the base's where a model's own is taken; the rest has its factor.
template <class Scalar>
WM_HD void cut_values(const MergeCombine& call, uint64_t e, uint32_t n, const CombineColumn<Scalar>& column) {
  const MergeChunk& chunk = call.chunk;
  const uint32_t scores = chunk.models + 1;
  const bool taken = call.operation == WM_MERGE_TAKE;
  const auto delta = [&](uint32_t m, uint32_t i) {
    return taken ? merge_delta(column.at(m, i), column.at(chunk.models, i)) : column.at(m, i);
  };
  WM_NO_UNROLL
  for (uint32_t i = 0; call.by_variance && i < n; i++) {
    column.at(scores, i) = merge_variance<Scalar>(chunk.models, [&](uint32_t m) { return delta(m, i); });
  }
  WM_NO_UNROLL
  for (uint32_t m = 0; m < chunk.models; m++) {
    const uint32_t kept = call.keeps
                              ? keep_bits(
                                    call.keeps[m], chunk, e, n, [&](uint32_t i) { return delta(m, i); },
                                    [&](uint32_t i) { return merge_key(column.at(scores, i)); })
                              : ~0u;
    WM_NO_UNROLL
    for (uint32_t i = 0; i < n; i++) {
      Scalar& value = column.at(m, i);
      value = kept >> i & 1 ? scaled(call, m, value) : taken ? column.at(chunk.models, i) : Scalar(0);
    }
  }
}

template <DType D, class Scalar>
WM_HD uint32_t narrow_pack(void* data, uint64_t e, uint32_t n, const Scalar* values) {
  using Bits = typename Element<D>::Bits;
  constexpr uint32_t kWhole = kPackElements<Bits> < kMergePack ? kPackElements<Bits> : kMergePack;
  Bits* const to = static_cast<Bits*>(data) + e;
  Pack<Bits, kWhole> packs[kMergePack / kWhole];
  uint32_t non_finite = 0;
  WM_UNROLL
  for (uint32_t i = 0; i < kMergePack; i++) {
    Bits& bits = packs[i / kWhole].at[i % kWhole];
    if constexpr (sizeof(Scalar) == 8) {
      bits = Element<D>::store64(values[i]);
    } else {
      bits = Element<D>::store32(values[i]);
    }
    non_finite += i < n && Element<D>::non_finite(bits);
  }
  if (n == kMergePack && pack_aligned<kWhole>(to)) {
    WM_UNROLL
    for (uint32_t p = 0; p < kMergePack / kWhole; p++) store_aligned<kWhole>(to + p * kWhole, packs[p]);
  } else {
    WM_UNROLL
    for (uint32_t i = 0; i < kMergePack; i++) {
      if (i < n) to[i] = packs[i / kWhole].at[i % kWhole];
    }
  }
  return non_finite;
}

// Rounds n values of at most kMergePack; returns how many of the results are not finite.
template <class Scalar>
WM_HD uint32_t store_values(DType dtype, void* to, uint64_t e, uint32_t n, const Scalar* values) {
  if constexpr (sizeof(Scalar) == 8) {
    // Narrow dtypes round an f32 that was rounded to odd (Element::store64): the same for all of them.
    if (dtype != DType::kF64 && dtype != DType::kF32) {
      float odd[kMergePack];
      WM_UNROLL
      for (uint32_t i = 0; i < kMergePack; i++) odd[i] = f64_to_f32_odd(values[i]);
      return store_values<float>(dtype, to, e, n, odd);
    }
    return dtype == DType::kF64 ? narrow_pack<DType::kF64>(to, e, n, values)
                                : narrow_pack<DType::kF32>(to, e, n, values);
  } else {
    switch (dtype) {
#define X(D)     \
  case DType::D: \
    return narrow_pack<DType::D>(to, e, n, values);
      WM_FLOAT_DTYPES(X)
#undef X
      default:
        return 0;
    }
  }
}

// at.threads == kCombineThreads; any grid. `memory` has combine_memory(call) bytes for each block.
template <class Scalar>
WM_HD void combine_body(const GridPosition& at, const MergeCombine& call, Scalar* memory) {
  const MergeChunk& chunk = call.chunk;
  const CombineColumn<Scalar> column = {memory + at.thread, at.threads};
  const uint64_t packs = pack_count(chunk.count), step = uint64_t{at.blocks} * at.threads;
  for (uint64_t pack = uint64_t{at.block} * at.threads + at.thread; pack < packs; pack += step) {
    const uint64_t e = pack * kMergePack;
    const uint32_t n = pack_size(chunk.count, e);
    stage_values(call, e, n, column);
    if (call.keeps || call.operation == WM_MERGE_CONSENSUS) cut_values(call, e, n, column);
    WM_NO_UNROLL
    for (uint32_t i = 0; i < n; i++) {
      Scalar& base = column.at(chunk.models, i);
      base = merge_canonical(combine_element(call, e + i, base, [&](uint32_t m) { return column.at(m, i); }));
    }
    Scalar results[kMergePack];
    WM_UNROLL
    for (uint32_t i = 0; i < kMergePack; i++) results[i] = column.at(chunk.models, i);
    const uint32_t non_finite = store_values(call.out_dtype, call.out, e, n, results);
    if (non_finite) atomic_add(call.non_finite, non_finite);
  }
}

}  // namespace wisemerge::cuda
