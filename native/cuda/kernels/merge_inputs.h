// The inputs of a merge of many models as its kernels see them: eight elements of any dtype at a time,
// widened, or one; their deltas. A thread that needs more than a pass over the models keeps what it has
// loaded in shared memory: registers cannot be indexed by a model.
#pragma once

#include "cuda/kernels/half.h"
#include "cuda/kernels/lerp_mixed.h"
#include "wisemerge/merge.h"

// Loops over models and packs: more copies of their long bodies gain nothing and take long to compile.
#if defined(__CUDA_ARCH__)
#define WM_NO_UNROLL _Pragma("unroll 1")
#else
#define WM_NO_UNROLL
#endif

namespace wisemerge::cuda {

// A tensor's elements from the chunk's first on, in device memory.
struct MergeSource {
  const void* data;
  DType dtype;
};

// A range of N tensors and perhaps a base (WmMergeInputs). All pointers in this and the structures that hold
// it are device memory, aligned to their elements at least.
struct MergeChunk {
  uint64_t first, count, row;  // as in WmMergeInputs
  uint64_t first_row;          // that the first element is in: row scores begin with this row's
  uint32_t first_bit;          // of the first element in its byte of masks
  uint32_t models;
  bool wide;         // f64 arithmetic
  MergeSource base;  // data null: none
  const MergeSource* x;
};

inline constexpr uint32_t kMergePack = 8;  // consecutive elements that a thread loads together

// A value as the element functions want it: a NaN need not keep its payload, which no result of a merge
// shows.
template <DType D>
WM_HD float widen_narrow(typename Element<D>::Bits bits) {
  if constexpr (D == DType::kF16 || D == DType::kBF16) {
    return Half<D>::widen(bits);
  } else if constexpr (D == DType::kF8E5M2) {
    return Half<DType::kF16>::widen(static_cast<uint16_t>(bits << 8));
  } else if constexpr (D == DType::kF8E4M3) {
    // In the fields of an F16 the exponent is 8 too small.
    const auto fields = static_cast<uint16_t>((bits & 0x80u) << 8 | (bits & 0x7fu) << 7);
    return (bits & 0x7fu) == 0x7fu ? bit_cast<float>(0x7fc00000u) : Half<DType::kF16>::widen(fields) * 256.0f;
  } else {
    return Element<D>::load32(bits);
  }
}
template <DType D, class Scalar>
WM_HD Scalar widen(typename Element<D>::Bits bits) {
  if constexpr (D == DType::kF64 && sizeof(Scalar) == 8) {
    return bit_cast<double>(bits);
  } else {
    return static_cast<Scalar>(widen_narrow<D>(bits));
  }
}

// Eight elements in registers, on their way from one stream. `to` is indexed by constants alone.
template <DType D, class Scalar>
WM_HD void widen_pack(const void* data, uint64_t e, uint64_t stride, uint32_t n, Scalar* to) {
  using Bits = typename Element<D>::Bits;
  constexpr uint32_t kWhole = kPackElements<Bits> < kMergePack ? kPackElements<Bits> : kMergePack;
  const Bits* const from = static_cast<const Bits*>(data) + e;
  Pack<Bits, kWhole> packs[kMergePack / kWhole];
  if (n == kMergePack && stride == 1 && pack_aligned<kWhole>(from)) {
    WM_UNROLL
    for (uint32_t p = 0; p < kMergePack / kWhole; p++) packs[p] = load_cached<kWhole>(from + p * kWhole);
  } else {
    WM_UNROLL
    for (uint32_t i = 0; i < kMergePack; i++) {
      packs[i / kWhole].at[i % kWhole] = i < n ? from[i * stride] : Bits(0);
    }
  }
  WM_UNROLL
  for (uint32_t i = 0; i < kMergePack; i++) to[i] = widen<D, Scalar>(packs[i / kWhole].at[i % kWhole]);
}

// Elements e, e + stride .. of which there are n, at most kMergePack, and zeros.
template <class Scalar>
WM_HD void load_values(const MergeSource& from, uint64_t e, uint64_t stride, uint32_t n, Scalar* to) {
  switch (from.dtype) {
#define X(D)     \
  case DType::D: \
    return widen_pack<DType::D, Scalar>(from.data, e, stride, n, to);
    WM_FLOAT_DTYPES(X)
#undef X
    default:
      return;
  }
}

template <class Scalar>
WM_HD void copy_values(const Scalar* from, Scalar* to) {
  WM_UNROLL
  for (uint32_t i = 0; i < kMergePack; i++) to[i] = from[i];
}
template <class Scalar>
WM_HD void to_deltas(Scalar* x, const Scalar* base) {
  WM_UNROLL
  for (uint32_t i = 0; i < kMergePack; i++) x[i] = merge_delta(x[i], base[i]);
}

// Input 0 is the base, 1 + i model i. By value: an address of the kernel's arguments would have them copied.
WM_HD MergeSource input_of(const MergeChunk& chunk, uint32_t input) {
  if (input == 0) return chunk.base;
  return chunk.x[input - 1];
}

// Model `i`'s deltas. The loop has one copy of the loading code for the two.
template <class Scalar>
WM_HD void load_deltas(const MergeChunk& chunk, uint32_t i, uint64_t e, uint32_t n, Scalar* to) {
  Scalar base[kMergePack] = {};
  WM_NO_UNROLL
  for (uint32_t input = chunk.base.data ? 0 : i + 1;; input = i + 1) {
    load_values(input_of(chunk, input), e, 1, n, to);
    if (input > 0) break;
    copy_values(to, base);
  }
  if (chunk.base.data) to_deltas(to, base);
}

template <class Scalar>
WM_HD Scalar load_value(const MergeSource& from, uint64_t e) {
  switch (from.dtype) {
#define X(D)     \
  case DType::D: \
    return widen<DType::D, Scalar>(static_cast<const typename Element<DType::D>::Bits*>(from.data)[e]);
    WM_FLOAT_DTYPES(X)
#undef X
    default:
      return 0;
  }
}
template <class Scalar>
WM_HD Scalar load_delta(const MergeChunk& chunk, uint32_t i, uint64_t e) {
  const Scalar x = load_value<Scalar>(chunk.x[i], e);
  return chunk.base.data ? merge_delta(x, load_value<Scalar>(chunk.base, e)) : x;
}

// Key of WM_SCORE_VARIANCE.
template <class Scalar>
WM_HD uint64_t variance_key(const MergeChunk& chunk, uint64_t e) {
  return merge_key(
      merge_variance<Scalar>(chunk.models, [&](uint32_t i) { return load_delta<Scalar>(chunk, i, e); }));
}

WM_HD uint64_t row_of(const MergeChunk& chunk, uint64_t e) {
  return (chunk.first + e) / chunk.row - chunk.first_row;
}

// Packs of a chunk, and the elements of the one that begins at element `e`.
WM_HD uint64_t pack_count(uint64_t count) { return (count + kMergePack - 1) / kMergePack; }
WM_HD uint32_t pack_size(uint64_t count, uint64_t e) {
  return count - e < kMergePack ? static_cast<uint32_t>(count - e) : kMergePack;
}

}  // namespace wisemerge::cuda
