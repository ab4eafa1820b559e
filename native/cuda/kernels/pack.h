// Packs: the consecutive elements that one thread moves with one access of at most 16 bytes.
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda/kernels/grid.h"

namespace wisemerge::cuda {

inline constexpr uint32_t kPackBytes = 16;

template <class Bits, uint32_t N>
struct alignas(sizeof(Bits) * N) Pack {
  Bits at[N];
};

// Elements per pack when one thread handles the same elements of several streams: the widest element decides,
// so that no access exceeds 16 bytes and each one is contiguous across a warp.
template <class... Bits>
inline constexpr uint32_t kPackElements = [] {
  uint32_t widest = 1;
  ((widest = sizeof(Bits) > widest ? sizeof(Bits) : widest), ...);
  return kPackBytes / widest;
}();

template <uint32_t N, class Bits>
WM_HD bool pack_aligned(const Bits* address) {
  return reinterpret_cast<uintptr_t>(address) % (sizeof(Bits) * N) == 0;
}

// Elements before the first pack boundary at or after `address`.
template <uint32_t N, class Bits>
WM_HD uint64_t elements_to_boundary(const Bits* address) {
  const uintptr_t past = reinterpret_cast<uintptr_t>(address) % (sizeof(Bits) * N);
  return past ? (sizeof(Bits) * N - past) / sizeof(Bits) : 0;
}

// Of an address that a vector access goes to. On the host memcpy stands for it, which would hide what a
// device refuses.
WM_HD void require_aligned(const void* address, size_t bytes) {
#if !defined(__CUDA_ARCH__)
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) __builtin_trap();
#endif
}

#if defined(__CUDA_ARCH__)
// The register-sized word of a pack: a typed access is the only one nvcc keeps whole.
template <uint32_t Bytes>
struct PackWord;
template <>
struct PackWord<16> {
  using Type = uint4;
};
template <>
struct PackWord<8> {
  using Type = uint2;
};
template <>
struct PackWord<4> {
  using Type = unsigned int;
};
#endif

// One access, marked as streaming: every byte of a merge is touched once.
template <uint32_t N, class Bits>
WM_HD Pack<Bits, N> load_aligned(const Bits* from) {
  Pack<Bits, N> pack;
  require_aligned(from, sizeof(pack));
#if defined(__CUDA_ARCH__)
  const auto word = __ldcs(reinterpret_cast<const typename PackWord<sizeof(pack)>::Type*>(from));
  memcpy(&pack, &word, sizeof(pack));
#else
  memcpy(&pack, from, sizeof(pack));
#endif
  return pack;
}

// The same through the caches, for what other threads read too.
template <uint32_t N, class Bits>
WM_HD Pack<Bits, N> load_cached(const Bits* from) {
  Pack<Bits, N> pack;
  require_aligned(from, sizeof(pack));
#if defined(__CUDA_ARCH__)
  const auto word = __ldg(reinterpret_cast<const typename PackWord<sizeof(pack)>::Type*>(from));
  memcpy(&pack, &word, sizeof(pack));
#else
  memcpy(&pack, from, sizeof(pack));
#endif
  return pack;
}

template <uint32_t N, class Bits>
WM_HD void store_aligned(Bits* to, const Pack<Bits, N>& pack) {
  require_aligned(to, sizeof(pack));
#if defined(__CUDA_ARCH__)
  typename PackWord<sizeof(pack)>::Type word;
  memcpy(&word, &pack, sizeof(pack));
  __stcs(reinterpret_cast<typename PackWord<sizeof(pack)>::Type*>(to), word);
#else
  memcpy(to, &pack, sizeof(pack));
#endif
}

// `aligned` is the same for all threads of a segment, so the branch does not diverge.
template <uint32_t N, class Bits>
WM_HD Pack<Bits, N> load_pack(const Bits* from, bool aligned) {
  if (aligned) return load_aligned<N>(from);
  Pack<Bits, N> pack;
  WM_UNROLL
  for (uint32_t i = 0; i < N; i++) pack.at[i] = from[i];
  return pack;
}

template <uint32_t N, class Bits>
WM_HD void store_pack(Bits* to, const Pack<Bits, N>& pack, bool aligned) {
  if (aligned) return store_aligned<N>(to, pack);
  WM_UNROLL
  for (uint32_t i = 0; i < N; i++) to[i] = pack.at[i];
}

}  // namespace wisemerge::cuda
