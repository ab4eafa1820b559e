// Codecs: how a step of elements goes between memory and arithmetic. Stored is its form in memory, as
// vectors; Wide what is computed with.

template <DType D>
using BitsOf = typename Element<D>::Bits;

struct PairF32 {
  Vf lo, hi;
};
struct PairF64 {
  Vd lo, hi;
};

// The lines of `bytes` bytes from `p`. May name addresses past the end: a prefetch does not fault.
WM_FORCE_INLINE void prefetch(uintptr_t p, size_t bytes) {
  for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(reinterpret_cast<const void*>(p + line));
}

WM_FORCE_INLINE const void* after_line(const void* p) { return static_cast<const char*>(p) + sizeof(Line); }
WM_FORCE_INLINE void* after_line(void* p) { return static_cast<char*>(p) + sizeof(Line); }

template <bool Stream>
WM_FORCE_INLINE void put(void* to, Line line) {
  if constexpr (Stream) {
    stream_line(to, line);
  } else {
    store_line(to, line);
  }
}
template <bool Stream, class Pair>
WM_FORCE_INLINE void put(void* to, Pair v) {
  put<Stream>(to, reinterpret_cast<Line>(v.lo));
  put<Stream>(after_line(to), reinterpret_cast<Line>(v.hi));
}

struct CodecF32 {
  static constexpr DType kDType = DType::kF32;
  static constexpr size_t kStep = 2 * kLanes;
  using Stored = PairF32;
  using Wide = PairF32;
  WM_FORCE_INLINE static Stored load(const void* from) {
    return {reinterpret_cast<Vf>(load_line(from)), reinterpret_cast<Vf>(load_line(after_line(from)))};
  }
  WM_FORCE_INLINE static Wide widen(Stored v) { return v; }
  WM_FORCE_INLINE static Stored narrow(Wide v) { return v; }
  WM_FORCE_INLINE static bool any_special(Stored v) { return any_non_finite(v.lo, v.hi); }
};

struct CodecF64 {
  static constexpr DType kDType = DType::kF64;
  static constexpr size_t kStep = kLanes;
  using Stored = PairF64;
  using Wide = PairF64;
  WM_FORCE_INLINE static Stored load(const void* from) {
    return {reinterpret_cast<Vd>(load_line(from)), reinterpret_cast<Vd>(load_line(after_line(from)))};
  }
  WM_FORCE_INLINE static Wide widen(Stored v) { return v; }
  WM_FORCE_INLINE static Stored narrow(Wide v) { return v; }
  WM_FORCE_INLINE static bool any_special(Stored v) { return any_non_finite(v.lo, v.hi); }
};

struct Codec16 {
  static constexpr size_t kStep = 2 * kLanes;
  using Stored = Line;
  using Wide = PairF32;
  WM_FORCE_INLINE static Stored load(const void* from) { return load_line(from); }
};

struct CodecF16 : Codec16 {
  static constexpr DType kDType = DType::kF16;
  WM_FORCE_INLINE static Wide widen(Line v) {
    Wide w;
    widen_f16(v, w.lo, w.hi);
    return w;
  }
  WM_FORCE_INLINE static Line narrow(Wide v) { return narrow_f16(v.lo, v.hi); }
  WM_FORCE_INLINE static bool any_special(Line v) { return any_non_finite16(v, 0x7c00); }
};

struct CodecBF16 : Codec16 {
  static constexpr DType kDType = DType::kBF16;
  WM_FORCE_INLINE static Wide widen(Line v) {
    Vu lo, hi;
    unpack16(v, lo, hi);
    return {widen_bf16(lo), widen_bf16(hi)};
  }
  WM_FORCE_INLINE static Line narrow(Wide v) { return pack16(narrow_bf16(v.lo), narrow_bf16(v.hi)); }
  WM_FORCE_INLINE static bool any_special(Line v) { return any_non_finite16(v, 0x7f80); }
};

// BF16 to itself: the even elements are the low halves of 32-bit lanes and the odd ones the upper halves, so
// widening and narrowing need no shuffle. A NaN here has no payload below bit 16: rounding keeps it one.
struct CodecBF16Halves : CodecBF16 {
  WM_FORCE_INLINE static Wide widen(Line v) {
    const Vu codes = reinterpret_cast<Vu>(v);
    return {reinterpret_cast<Vf>(codes << 16), reinterpret_cast<Vf>(codes & 0xffff0000u)};
  }
  WM_FORCE_INLINE static Line narrow(Wide v) {
    return round_bf16_pairs(reinterpret_cast<Vu>(v.lo), reinterpret_cast<Vu>(v.hi));
  }
};
